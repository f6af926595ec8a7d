"""The results by arm: mean, spread, and differences between runs with the same seed, with confidence intervals."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import t

from mixtures.arms import Plan
from mixtures.run import RESULT


@dataclass(frozen=True)
class Outcome:
    """The test results of an arm.

    Args:
        plan: The arm.
        runs: The contents of result.json, by seed.
        trials: The validation mAP of each trial, if the arm is a sweep.
    """

    plan: Plan
    runs: Mapping[int, Mapping[str, Any]]
    trials: Sequence[float]

    def values(self, metric: str = "mAP") -> list[float]:
        """A metric on the test split, by seed."""
        return [self.runs[seed][metric] for seed in sorted(self.runs)]

    @property
    def mean(self) -> float:
        """The mean mAP over the seeds."""
        return self.mean_of("mAP")

    def mean_of(self, metric: str) -> float:
        """The mean of a metric over the seeds."""
        return statistics.fmean(self.values(metric))

    @property
    def spread(self) -> float:
        """The standard deviation of the mAP over the seeds."""
        return statistics.stdev(self.values()) if len(self.runs) > 1 else math.nan


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences with its 95 % confidence interval (Student's t, over the seeds that both arms have).

    The bounds are NaN if there is only one pair.
    """

    mean: float
    low: float
    high: float
    pairs: int


def outcomes(plans: Sequence[Plan], out: Path, seeds: int) -> list[Outcome]:
    """The arms with results for all seeds."""
    found = []
    for plan in plans:
        folder = out / plan.folder
        runs = {seed: _read(folder / f"seed_{seed}" / RESULT) for seed in range(seeds)}
        finished = {seed: run for seed, run in runs.items() if run is not None}
        trials = (_read(path / RESULT) for path in sorted((folder / "trials").glob("*")))
        if len(finished) == seeds:
            found.append(Outcome(plan, finished, [trial["mAP"] for trial in trials if trial is not None]))
    return found


def difference(one: Outcome, other: Outcome, metric: str = "mAP") -> Difference:
    """A metric of `one` minus that of `other`, paired by seed, since runs of a seed share data and initial parameters."""
    seeds = sorted(set(one.runs) & set(other.runs))
    deltas = [one.runs[seed][metric] - other.runs[seed][metric] for seed in seeds]
    mean = statistics.fmean(deltas)
    spread = statistics.stdev(deltas) if len(deltas) > 1 else math.nan
    half = float(t.ppf(0.975, len(deltas) - 1)) * spread / math.sqrt(len(deltas))
    return Difference(mean, mean - half, mean + half, len(deltas))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None

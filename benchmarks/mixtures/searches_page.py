"""Makes the part of docs/study.md that compares searches from the results."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from mixtures.arms import Plan
from mixtures.page import row
from mixtures.run import result_of
from mixtures.searches import SEARCHES, Screened, factors_of
from mixtures.settings import DETECTORS, SETTINGS
from mixtures.statistics import Outcome

BASELINES = ("all", "weights_by_head")


@dataclass(frozen=True)
class Repeat:
    """A finished search of one seed.

    Args:
        plan: Its arm.
        trials: The results of its trials.
        tested: The test results of what it found, by seed.
    """

    plan: Plan
    trials: Sequence[Mapping[str, Any]]
    tested: Sequence[Mapping[str, Any]]

    @property
    def kind(self) -> str:
        """The search."""
        return self.plan.name.partition("/")[0]


@dataclass(frozen=True)
class Mean:
    """A mean over repeats of a search and seeds of its tests, with its 95 % confidence interval.

    Both the repeats and the seeds are random samples, crossed with each other: the variance of the mean is that of a two-way
    analysis of variance without replicates, and its degrees of freedom are Satterthwaite's.
    """

    mean: float
    low: float
    high: float


def crossed(values: NDArray[np.float64]) -> Mean:
    """The mean of a table of values, of shape (repeats, seeds), with at least two of each."""
    repeats, seeds = values.shape
    mean, rows, columns = values.mean(), values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns[None, :] + mean
    by_row, by_column = seeds * rows.var(ddof=1), repeats * columns.var(ddof=1)
    residual = (rest**2).sum() / ((repeats - 1) * (seeds - 1))
    total = max(by_row + by_column - residual, by_row, by_column, residual)
    parts = by_row**2 / (repeats - 1) + by_column**2 / (seeds - 1) + residual**2 / ((repeats - 1) * (seeds - 1))
    freedom = total**2 / parts if parts else math.inf
    half = float(t.ppf(0.975, max(freedom, 1))) * math.sqrt(total / values.size)
    return Mean(float(mean), float(mean - half), float(mean + half))


def repeats_of(plans: Iterable[Plan], out: Path) -> list[Repeat]:
    """The searches with results for all their runs."""
    found = []
    for plan in plans:
        steps, trials = plan.steps(), []
        asked = next(steps)
        while (results := _answered(asked, out)) is not None:
            if asked[0][1].split == "test":
                found.append(Repeat(plan, trials, results))
                break
            trials += results
            asked = steps.send(results)
    return found


def _answered(asked: Any, out: Path) -> list[dict[str, Any]] | None:
    results = [result_of(run, out / place) for place, run in asked]
    complete = [result for result in results if result is not None]
    return complete if len(complete) == len(results) else None


def search_parts(found: Sequence[Repeat], baselines: Sequence[Outcome], sweeps: int) -> dict[str, str]:
    """The generated parts of the page, in Markdown, by name."""
    tables = [_table(setting, detector, found, baselines, sweeps) for setting in SETTINGS for detector in DETECTORS]
    effects = [_effects(setting, detector, found) for setting in SETTINGS for detector in DETECTORS]
    made = {"searches": tables, "effects": effects}
    return {name: "\n\n".join(filter(None, parts)) or "(Not run.)" for name, parts in made.items()}


def _of(found: Sequence[Repeat], setting: str, detector: str, kind: str) -> list[Repeat]:
    return [r for r in found if (r.plan.setting, r.plan.detector, r.kind) == (setting, detector, kind)]


def _table(setting: str, detector: str, found: Sequence[Repeat], baselines: Sequence[Outcome], sweeps: int) -> str:
    """What each search with all its repeats comes to."""
    compared = {o.plan.name: o for o in baselines if (o.plan.setting, o.plan.detector) == (setting, detector)}
    if not set(BASELINES) <= set(compared):
        return ""
    unweighted, reasoned = (np.array(compared[name].values()) for name in BASELINES)
    lines = []
    for kind in SEARCHES:
        repeats = _of(found, setting, detector, kind)
        if len(repeats) < sweeps:
            continue
        values = np.array([[result["mAP"] for result in repeat.tested] for repeat in repeats])
        length = sum(trial["pictures"] for trial in repeats[0].trials) / unweighted_pictures(compared)
        by_repeat = ", ".join(f"{mean:.3f}" for mean in values.mean(axis=1))
        differences = [_signed(crossed(values - base)) for base in (unweighted, reasoned)]
        trials = f"{len(repeats[0].trials)}" + ("" if length > len(repeats[0].trials) - 0.01 else f" ({length:.2g})")
        lines.append(row(SEARCHES[kind].title, trials, f"{values.mean():.3f}", by_repeat, *differences))
    if not lines:
        return ""
    lines.append(
        row("(weights set by reasoning)", "0", f"{reasoned.mean():.3f}", "", _signed(_paired(reasoned - unweighted)), "")
    )
    lines.append(row("(all, unweighted)", "0", f"{unweighted.mean():.3f}", "", "", ""))
    head = ("search", "trainings", "mAP", "by repeat", "against all, unweighted", "against the reasoned weights")
    return "\n".join([f"**{SETTINGS[setting].title}, {DETECTORS[detector]}**", "", row(*head), row(*["---"] * len(head)), *lines])


def unweighted_pictures(compared: Mapping[str, Outcome]) -> int:
    """The number of images in a whole training."""
    return int(next(iter(compared[BASELINES[0]].runs.values()))["pictures"])


def _paired(differences: NDArray[np.float64]) -> Mean:
    mean = float(differences.mean())
    half = float(t.ppf(0.975, len(differences) - 1)) * statistics.stdev(differences) / math.sqrt(len(differences))
    return Mean(mean, mean - half, mean + half)


def _signed(found: Mean) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _effects(setting: str, detector: str, found: Sequence[Repeat]) -> str:
    """The effects of the screenings of each length, by factor, and how many of the repeats call them more than noise."""
    lines, factors = [], factors_of(SETTINGS[setting], detector)
    for kind, search in SEARCHES.items():
        repeats = _of(found, setting, detector, kind)
        if type(search) is not Screened or search.otherwise is None or search.sampled or not repeats:
            continue
        effects = [search.effects(factors, repeat.trials) for repeat in repeats]
        matters = Counter(name for each in effects for name, effect in each.by_name.items() if effect.matters)
        cells = []
        for factor in factors:
            sizes = ", ".join(f"{each.by_name[factor.name].size:+.3f}" for each in effects)
            cells.append(f"**{sizes}**" if matters[factor.name] == len(effects) else sizes)
        spare = ", ".join(f"{each.spare[0]:+.3f}" for each in effects)
        lines.append(row(search.title, *cells, spare))
    if not lines:
        return ""
    names = [factor.name.replace("roi_head.", "").replace("bbox_head.", "") for factor in factors]
    head = row("search", *names, "spare column")
    return "\n".join(
        [f"**{SETTINGS[setting].title}, {DETECTORS[detector]}**", "", head, row(*["---"] * (len(names) + 2)), *lines]
    )

"""The demos: which data, which configs, and what the study says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headweights.demo.scenes import DataSet


@dataclass(frozen=True)
class Finding:
    """What the study found with several seeds: the mAP with weights minus that without, paired by seed.

    Args:
        better, seeds: With how many of the seeds the weighted detector is better.
        mean, low, high: The mean difference and its 95 % interval.
        differing: How the study's trainings differ from those of the demo.
    """

    better: int
    seeds: int
    mean: float
    low: float
    high: float
    differing: str

    def __str__(self) -> str:
        interval = f"{self.mean:+.3f} mAP (95 % interval {self.low:+.3f} to {self.high:+.3f})"
        if self.low <= 0 <= self.high:
            found = f"no effect that {self.seeds} seeds can tell, {interval}"
        else:
            found = f"weighted is better with {self.better} of {self.seeds} seeds, {interval}"
        return f"The study (docs/study.md, {self.differing}) says: {found}."


@dataclass(frozen=True)
class Demo:
    """A stock detector on a mix of data sets, without and with weights.

    Args:
        make_data: Writes the data sets of a seed to a folder.
        configs: The folder in `examples` with its configs. In capitals, it is the environment variable for the data folder.
        unweighted, weighted: The configs of the two runs.
        target: The data set that the detector is for.
        iterations: The number of training iterations of each of the two runs.
        finding: What the study says.
        pretraining: The config of the training that both runs start from. None: they start from random parameters.
        pretraining_length: The length of the pretraining, in multiples of `iterations`.
    """

    make_data: Callable[[Path, int], list[DataSet]]
    configs: str
    unweighted: str
    weighted: str
    target: str
    iterations: int
    finding: Finding
    pretraining: str | None = None
    pretraining_length: int = 1


# Imported when needed: OpenCV and scikit-learn take a second to load.
def _digits(folder: Path, seed: int) -> list[DataSet]:
    from headweights.demo.digits.data import make_data

    return make_data(folder, seed)


def _crowns(folder: Path, seed: int) -> list[DataSet]:
    from headweights.demo.crowns.data import make_data

    return make_data(folder, seed)


DEMOS = {
    "digits": Demo(
        make_data=_digits,
        configs="digits_in_scenes",
        unweighted="faster-rcnn_unweighted.py",
        weighted="faster-rcnn_weighted.py",
        target="clean",
        iterations=150,
        finding=Finding(5, 5, 0.085, 0.059, 0.110, "with a longer pretraining"),
        pretraining="faster-rcnn_pretraining.py",
        pretraining_length=3,
    ),
    "crowns": Demo(
        make_data=_crowns,
        configs="tree_crowns",
        unweighted="faster-rcnn_r18_fpn_unweighted.py",
        weighted="faster-rcnn_r18_fpn_hook.py",
        target="real",
        iterations=450,
        finding=Finding(0, 5, -0.004, -0.008, 0.001, "with a smaller detector"),
    ),
}

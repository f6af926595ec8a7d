"""The arms of the study of docs/unlabelled.md: ways to use data sets in which not everything is annotated.

The background weights were set before any of these runs were evaluated on the test split, and nothing is chosen by its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from mixtures.arms import Arm, Plan, common, tested
from mixtures.incomplete import LABELLED
from mixtures.run import Run
from mixtures.settings import ADDRESSES, UNLABELLED

# The length of the trainings, in multiples of the setting's iterations.
LENGTHS = {"short": 1, "long": 4}
# The classification losses of a detector, and those of them that know no classes.
CLASSIFICATION = {
    "faster-rcnn": ("rpn_head.loss_cls", "roi_head.bbox_head.loss_cls"),
    "atss": ("bbox_head.loss_cls",),
}
CLASS_AGNOSTIC = {"faster-rcnn": ("rpn_head.loss_cls",), "atss": ()}
BACKGROUND, LOW_BACKGROUND = 0.3, 0.1
AS_IS, CEILING = "as_is", "ceiling"


@dataclass(frozen=True)
class Way:
    """A way to use the data.

    Args:
        title: Its name in tables.
        datasets: The data sets to train on.
        differing: What differs from a stock training, as fields of `Run`.
    """

    title: str
    datasets: tuple[str, ...]
    differing: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What is not annotated, and the ways to use it.

    Args:
        title: Its name in tables.
        setting: Its data.
        ways: By the name of their folder. The first is the stock detector on the data as it is, the last on the same scenes with
            everything annotated.
    """

    title: str
    setting: str
    ways: dict[str, Way]


def problems(detector: str) -> list[Problem]:
    """The problems, with the ways for a detector."""
    missing = {"third_missing": "a third", "half_missing": "half", "four_fifths_missing": "four fifths"}
    return [_classes(detector), *(_boxes(detector, name, words) for name, words in missing.items())]


def _classes(detector: str) -> Problem:
    datasets, labelled = ("full", *LABELLED), {"labelled": LABELLED, "normalize": False}
    background = _background(LABELLED, CLASSIFICATION[detector], BACKGROUND)
    # Beside `labelled`, only a loss without classes needs a background weight. ATSS has none, so its loss has both.
    beside = _background(LABELLED, CLASS_AGNOSTIC[detector] or CLASSIFICATION[detector], BACKGROUND)
    ways = {
        AS_IS: Way("as is", datasets),
        "labelled": Way("`labelled`", datasets, labelled),
        "background": Way(f"`.background` {BACKGROUND}", datasets, background),
        "both": Way("both", datasets, {**labelled, **beside}),
        CEILING: Way("everything labelled", ("full", *(f"{name}_full" for name in LABELLED))),
    }
    return Problem(UNLABELLED["unlabelled_classes"].title, "unlabelled_classes", ways)


def _boxes(detector: str, name: str, words: str) -> Problem:
    weights = {
        f"{name}/background_{w}": (w, _background([name], CLASSIFICATION[detector], w)) for w in (BACKGROUND, LOW_BACKGROUND)
    }
    ways = {
        f"{name}/{AS_IS}": Way("as is", ("full", name)),
        **{place: Way(f"`.background` {weight}", ("full", name), fields) for place, (weight, fields) in weights.items()},
        # All these problems have the same scenes and so the same ceiling.
        CEILING: Way("everything labelled", ("full", "none_missing")),
    }
    return Problem(f"{words} of the boxes missing", "missing_boxes", ways)


def _background(datasets: Iterable[str], losses: Sequence[str], weight: float) -> dict[str, Any]:
    # Scaled to a mean of 1, the background of these data sets, which are nearly all images, would weigh almost 1 again.
    return {"normalize": False, "weights": {name: {f"{loss}.background": weight for loss in losses} for name in datasets}}


def plans(length: str, seeds: Sequence[int]) -> list[Plan]:
    """All arms in order of priority, with trainings of a length and these seeds."""
    found = {}
    # A study that is stopped then has some problems with all detectors.
    for of_detectors in zip(*(problems(detector) for detector in ADDRESSES), strict=True):
        for detector, problem in zip(ADDRESSES, of_detectors, strict=True):
            for name, way in problem.ways.items():
                plan = _plan(problem.setting, detector, name, way, length, seeds)
                found[plan.folder] = plan
    return list(found.values())


def _plan(setting: str, detector: str, name: str, way: Way, length: str, seeds: Sequence[int]) -> Plan:
    shared = common(UNLABELLED[setting], setting, detector)
    iterations = LENGTHS[length] * UNLABELLED[setting].iterations
    run = Run(**{**shared, "iterations": iterations, "datasets": way.datasets, **way.differing})
    folder = f"{length}/{name}"

    def steps() -> Arm:
        return tested(PurePath(setting) / detector / folder, run, seeds)

    return Plan(folder, way.title, setting, detector, steps, len(seeds))

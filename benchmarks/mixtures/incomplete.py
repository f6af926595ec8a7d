"""Digits in scenes of which not everything is annotated. What has no box is still visible.

Of classes, for data sets that label different ones:

    full                  few scenes; every digit has its box
    low, high             many scenes; only the digits 0 to 6, or 7 to 9, have boxes
    low_full, high_full   the same scenes; every digit has its box

Of boxes, for incomplete annotation:

    full                  as above
    third_missing, half_missing, four_fifths_missing
                          many scenes; this fraction of the boxes is missing, at random
    none_missing          the same scenes; every digit has its box

Every annotation file lists all ten classes, because mmdetection numbers classes by their order in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headweights.demo.digits.digits import CLASSES, scenes_of
from headweights.demo.scenes import Scene, write

# The number of scenes that are fully annotated, and of every other data set.
FULL, INCOMPLETE = 10, 400
LABELLED = {"low": CLASSES[:7], "high": CLASSES[7:]}
MISSING = {"third_missing": 1 / 3, "half_missing": 1 / 2, "four_fifths_missing": 4 / 5, "none_missing": 0.0}


def make_classes(folder: Path, seed: int) -> None:
    """Writes the training data of a seed to `folder`: `full`, `low`, `high`, `low_full` and `high_full`."""
    _write_full(folder, seed)
    for number, (name, labelled) in enumerate(LABELLED.items(), start=1):
        scenes = list(scenes_of("train", INCOMPLETE, np.random.default_rng([seed, number])))
        write((only(scene, labelled) for scene in scenes), folder / name, CLASSES)
        write(scenes, folder / f"{name}_full", CLASSES)


def make_boxes(folder: Path, seed: int) -> None:
    """Writes the training data of a seed to `folder`: `full` and the data sets of `MISSING`."""
    _write_full(folder, seed)
    scenes = list(scenes_of("train", INCOMPLETE, np.random.default_rng([seed, 1])))
    for name, fraction in MISSING.items():
        # With the same generator, the boxes that are missing from one data set are also missing from the next larger one.
        rng = np.random.default_rng([seed, 2])
        write((without(scene, fraction, rng) for scene in scenes), folder / name, CLASSES)


def only(scene: Scene, labelled: Sequence[str]) -> Scene:
    """The scene with boxes of the `labelled` classes only."""
    return _kept(scene, np.isin(scene.labels, [CLASSES.index(name) for name in labelled]))


def without(scene: Scene, fraction: float, rng: np.random.Generator) -> Scene:
    """The scene where each box is missing with the probability `fraction`."""
    return _kept(scene, rng.random(len(scene.boxes)) >= fraction)


def _kept(scene: Scene, kept: NDArray[np.bool_]) -> Scene:
    return replace(scene, boxes=scene.boxes[kept], labels=scene.labels[kept])


def _write_full(folder: Path, seed: int) -> None:
    write(scenes_of("train", FULL, np.random.default_rng([seed, 0])), folder / "full", CLASSES)

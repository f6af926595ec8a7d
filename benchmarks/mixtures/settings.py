"""The settings of the studies: data, detectors, reasoned weights and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from headweights.demo.digits import digits, letters
from mixtures import crowns, incomplete

Weights = Mapping[str, Mapping[str, float]]

DETECTORS = {"faster-rcnn": "Faster R-CNN", "atss": "ATSS"}
# The weighted addresses by detector: every head, split into its losses if data sets are good for only one of them.
ADDRESSES = {
    "faster-rcnn": ("rpn_head", "roi_head.bbox_head.loss_cls", "roi_head.bbox_head.loss_bbox"),
    "atss": ("bbox_head.loss_cls", "bbox_head.loss_bbox", "bbox_head.loss_centerness"),
}


@dataclass(frozen=True)
class Setting:
    """A mix of data sets, and how it is trained.

    Args:
        title: Its name in tables.
        classes: The classes of all its data sets.
        target: The data set that resembles the test split.
        others: The other data sets.
        make: Writes the training data of a seed to a folder.
        make_held_out: Writes `validation` and `test` to a folder.
        iterations: The number of iterations of every run.
        learning_rates: The learning rate, by detector.
        trials: The number of trials of every sweep.
        reasoned: The weights set by reasoning, by detector. The target's weight is 1.
        augmentation: Additional steps of the training pipeline.
        by_object: Whether the error of each annotation is known.
    """

    title: str
    classes: tuple[str, ...]
    target: str
    others: tuple[str, ...]
    make: Callable[[Path, int], None]
    make_held_out: Callable[[Path], None]
    iterations: int
    learning_rates: Mapping[str, float]
    trials: int = 0
    reasoned: Mapping[str, Weights] = field(default_factory=dict)
    augmentation: list[dict[str, Any]] = field(default_factory=list)
    by_object: bool = False

    @property
    def datasets(self) -> tuple[str, ...]:
        """All data sets, the target first."""
        return (self.target, *self.others)


SETTINGS = {
    "digits": Setting(
        title="digits in scenes",
        classes=digits.CLASSES,
        target="clean",
        others=("wrong_labels", "wrong_boxes"),
        make=digits.make,
        make_held_out=digits.make_held_out,
        iterations=150,
        trials=8,
        learning_rates={"faster-rcnn": 1e-3, "atss": 1e-3},
        # Random labels have no information about the class, but some about objectness: 0.1. Boxes that overlap the correct ones
        # by half show where an object is (0.3), but not where its edges are (0.1).
        reasoned={
            "faster-rcnn": {
                "wrong_labels": {
                    "rpn_head": 1.0,
                    "roi_head.bbox_head.loss_cls": 0.1,
                    "roi_head.bbox_head.loss_bbox": 1.0,
                },
                "wrong_boxes": {
                    "rpn_head": 0.3,
                    "roi_head.bbox_head.loss_cls": 1.0,
                    "roi_head.bbox_head.loss_bbox": 0.1,
                },
            },
            "atss": {
                "wrong_labels": {
                    "bbox_head.loss_cls": 0.1,
                    "bbox_head.loss_bbox": 1.0,
                    "bbox_head.loss_centerness": 1.0,
                },
                "wrong_boxes": {
                    "bbox_head.loss_cls": 1.0,
                    "bbox_head.loss_bbox": 0.1,
                    "bbox_head.loss_centerness": 0.1,
                },
            },
        },
        by_object=True,
    ),
    "crowns": Setting(
        title="tree crowns",
        classes=crowns.CLASSES,
        target="real",
        others=("rendered",),
        make=crowns.make,
        make_held_out=crowns.make_held_out,
        iterations=200,
        trials=5,
        learning_rates={"faster-rcnn": 2e-3, "atss": 1e-3},
        # The weights of `headweights demo crowns`. Rendered crowns have the right size and exact boxes, but look wrong. In the
        # RPN head the weight of a rendered tile is 0.45 times that of a real one. In classification both data sets have the same
        # total (160 x 0.1 = 16 x 1).
        reasoned={
            "faster-rcnn": {
                "rendered": {
                    "rpn_head": 0.45,
                    "roi_head.bbox_head.loss_cls": 0.1,
                    "roi_head.bbox_head.loss_bbox": 0.1,
                },
            },
            "atss": {
                "rendered": {
                    "bbox_head.loss_cls": 0.1,
                    "bbox_head.loss_bbox": 0.45,
                    "bbox_head.loss_centerness": 0.45,
                },
            },
        },
        augmentation=[
            # An aerial image can be flipped in every direction.
            {"type": "RandomFlip", "prob": [0.25] * 3, "direction": ["horizontal", "vertical", "diagonal"]},
            {"type": "PhotoMetricDistortion"},
        ],
    ),
}

# The same digits with four times as many clean scenes: do the other data sets still help?
_MORE_CLEAN = {**digits.SIZES, "clean": 40}
SETTINGS["digits_40"] = replace(
    SETTINGS["digits"],
    title="digits, 40 clean scenes",
    make=partial(digits.make, sizes=_MORE_CLEAN),
    by_object=False,
)

# The study of docs/unlabelled.md. Its arms choose among the data sets: those of the ceiling have the same scenes as the others.
UNLABELLED = {
    "unlabelled_classes": Setting(
        title="one data set labels 0 to 6, one 7 to 9",
        classes=digits.CLASSES,
        target="full",
        others=tuple(incomplete.LABELLED),
        make=incomplete.make_classes,
        make_held_out=digits.make_held_out,
        iterations=150,
        learning_rates=SETTINGS["digits"].learning_rates,
    ),
    "missing_boxes": Setting(
        title="boxes are missing",
        classes=digits.CLASSES,
        target="full",
        others=tuple(incomplete.MISSING),
        make=incomplete.make_boxes,
        make_held_out=digits.make_held_out,
        iterations=150,
        learning_rates=SETTINGS["digits"].learning_rates,
    ),
}

# Detectors are seldom trained from scratch. Here they start from printed letters in scenes, which do not bias the comparison: all
# annotations are correct, and there are no digits. Every run of a detector starts from the same parameters.
START = "letters"
PRETRAININGS = {
    START: Setting(
        title="printed letters in scenes",
        classes=letters.CLASSES,
        target="letters",
        others=(),
        make=letters.make,
        make_held_out=letters.make_held_out,
        iterations=600,
        learning_rates={"faster-rcnn": 2e-3, "atss": 1e-3},
    ),
}

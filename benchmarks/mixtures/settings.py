"""The study's two settings: data, detectors, what is reasoned about the weights, what is swept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mixtures import crowns, digits, letters

Weights = Mapping[str, Mapping[str, float]]

DETECTORS = {"faster-rcnn": "Faster R-CNN", "atss": "ATSS"}
# Where a weight can differ, by detector: every head, and a head's losses where data sets are good at one of them only.
ADDRESSES = {
    "faster-rcnn": ("rpn_head", "roi_head.bbox_head.loss_cls", "roi_head.bbox_head.loss_bbox"),
    "atss": ("bbox_head.loss_cls", "bbox_head.loss_bbox", "bbox_head.loss_centerness"),
}


@dataclass(frozen=True)
class Setting:
    """A mix of data sets, and the questions that are asked of it.

    Args:
        title: What tables call it.
        classes: The classes of all its data sets.
        target: The data set that is like the test.
        others: The other data sets.
        make: Writes the training data of a seed into a folder.
        make_held_out: Writes `validation` and `test` into a folder.
        iterations: Of every run.
        learning_rates: By detector.
        trials: Of every sweep, whatever it chooses among.
        reasoned: By detector, the weights that one would choose by thinking; the target weighs 1.
        augmentation: Steps of the training pipeline.
        by_object: Whether it is known how right each annotation is.
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
        # Random labels say nothing of the class, but a little of what is an object at all: a tenth. Boxes that overlap the
        # right ones by half say where to look (a third), not where an edge is (a tenth).
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
        # The demo's weights: rendered crowns have the right size and exact boxes, and look wrong. In the RPN head a rendered
        # tile weighs 0.45 of a real one, in what tells a crown from the ground both data sets pull alike (160 x 0.1 = 16 x 1).
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
            # Seen from above, every flip of a forest is a forest.
            {"type": "RandomFlip", "prob": [0.25] * 3, "direction": ["horizontal", "vertical", "diagonal"]},
            {"type": "PhotoMetricDistortion"},
        ],
    ),
}

# The same digits with four times as many clean scenes: are the others still wanted?
_MORE_CLEAN = {**digits.SIZES, "clean": 40}
SETTINGS["digits_40"] = replace(
    SETTINGS["digits"],
    title="digits, 40 clean scenes",
    make=partial(digits.make, sizes=_MORE_CLEAN),
    by_object=False,
)

# Detectors are seldom trained from scratch. Here they start from printed letters in scenes, which know nothing of the question:
# all annotations are right, and a letter is no digit. Every run of a detector starts from the same parameters.
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

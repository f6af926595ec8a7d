"""Which detections are right, and what a user sees who sets a threshold: recall and precision above it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# The lowest score and the lowest intersection over union that count.
SCORE, IOU = 0.3, 0.5


@dataclass(frozen=True)
class Matches:
    """The detections in a split and which of them are right.

    A detection is right if it overlaps an object of its class by at least `IOU`. Each object is found once: the detections choose
    in the order of their scores, so those with a lower score change nothing for the others.

    Args:
        scores: Shape (detections,). Those in ignored regions are left out.
        right: Shape (detections,): whether a detection is right.
        objects: The number of objects.
    """

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    objects: int

    def recall(self, score: float = SCORE) -> float:
        """The fraction of the objects that is found by detections with at least this score."""
        return float(self.right[self.scores >= score].sum()) / self.objects

    def precision(self, score: float = SCORE) -> float:
        """The fraction of the detections with at least this score that is right; 0 if there are none."""
        counted = self.right[self.scores >= score]
        return float(counted.mean()) if len(counted) else 0.0

    def best_f1(self) -> float:
        """The harmonic mean of recall and precision at the score where it is highest; 0 if there are no detections."""
        order = np.argsort(-self.scores, kind="stable")
        found, counted = np.cumsum(self.right[order]), np.arange(1, len(order) + 1)
        return float((2 * found / (counted + self.objects)).max(initial=0.0))


def match(annotations: Path, detections: Path) -> Matches:
    """Matches detections with the objects in a COCO annotation file. `detections` is a JSON file of COCO detections."""
    truth = COCO(str(annotations))
    rows = json.loads(detections.read_text(encoding="utf-8"))
    if not rows:
        objects = sum(not row["iscrowd"] for row in truth.dataset["annotations"])
        return Matches(np.zeros(0), np.zeros(0, dtype=bool), objects)
    matching = COCOeval(truth, truth.loadRes(rows), "bbox")
    matching.params.iouThrs = np.array([IOU])
    matching.params.areaRng, matching.params.areaRngLbl = [[0, 1e10]], ["all"]
    matching.params.maxDets = [len(rows)]
    matching.evaluate()
    images = [image for image in matching.evalImgs if image is not None]
    counted = [image["dtIgnore"][0] == 0 for image in images]
    return Matches(
        scores=np.concatenate([np.asarray(image["dtScores"])[of] for image, of in zip(images, counted, strict=True)]),
        right=np.concatenate([image["dtMatches"][0][of] > 0 for image, of in zip(images, counted, strict=True)]),
        objects=sum(int((image["gtIgnore"] == 0).sum()) for image in images),
    )

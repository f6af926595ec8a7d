"""Recall and precision of the detections above a fixed score: what a user sees who sets a threshold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SCORE, IOU = 0.3, 0.5


def recall_and_precision(annotations: Path, detections: Path, score: float = SCORE, iou: float = IOU) -> tuple[float, float]:
    """The recall and the precision of the detections with at least `score`.

    A detection is right if it overlaps an object of its class by at least `iou`. Each object is found once: the detections choose
    in the order of their scores. Ignored regions count neither way.

    Args:
        annotations: A COCO annotation file.
        detections: A JSON file of COCO detections.
        score: The lowest score that counts.
        iou: The lowest intersection over union that counts.

    Returns:
        The fraction of the objects that are found, and the fraction of the detections that are right. Both are 0 if there is no
        detection with this score.
    """
    counted = [row for row in json.loads(detections.read_text(encoding="utf-8")) if row["score"] >= score]
    if not counted:
        return 0.0, 0.0
    truth = COCO(str(annotations))
    matching = COCOeval(truth, truth.loadRes(counted), "bbox")
    matching.params.iouThrs = np.array([iou])
    matching.params.areaRng, matching.params.areaRngLbl = [[0, 1e10]], ["all"]
    matching.params.maxDets = [len(counted)]
    matching.evaluate()
    images = [image for image in matching.evalImgs if image is not None]
    objects = sum(int((image["gtIgnore"] == 0).sum()) for image in images)
    matches = np.concatenate([image["dtMatches"][0][image["dtIgnore"][0] == 0] for image in images])
    right = int((matches > 0).sum())
    return right / objects, right / max(len(matches), 1)

"""Average precision on the held-out tiles, by place."""

import json
from dataclasses import dataclass
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

ALL = "all"


@dataclass(frozen=True)
class Precision:
    """COCO's average precision in [0, 1]: `ap` is the mean over IoU 0.50 to 0.95, `ap50` is at IoU 0.50."""

    ap: float
    ap50: float


def precision_by_place(annotations: Path, detections: Path) -> dict[str, Precision]:
    """Computes the precision on the tiles of each place, and on `all` tiles.

    Args:
        annotations: COCO annotations of images with the file name `<place>_<left>_<top>.png`.
        detections: COCO results, as written by `CocoMetric(outfile_prefix=...)`.
    """
    truth = COCO(str(annotations))
    places: dict[str, list[int]] = {}
    for image_id, image in truth.imgs.items():
        places.setdefault(image["file_name"].rsplit("_", 2)[0], []).append(image_id)
    places[ALL] = sorted(truth.imgs)
    detected = json.loads(detections.read_text(encoding="utf-8"))
    if not detected:
        return dict.fromkeys(places, Precision(0.0, 0.0))
    results = truth.loadRes(detected)
    return {place: _precision(truth, results, image_ids) for place, image_ids in places.items()}


def _precision(truth: COCO, results: COCO, image_ids: list[int]) -> Precision:
    evaluation = COCOeval(truth, results, "bbox")
    evaluation.params.imgIds = image_ids
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return Precision(float(evaluation.stats[0]), float(evaluation.stats[1]))

"""Average precision on the held-out tiles, place by place."""

import json
from dataclasses import dataclass
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

ALL = "all"


@dataclass(frozen=True)
class Precision:
    """COCO's average precision in [0, 1]: `ap` is the mean over IoU 0.50 to 0.95, `ap50` that at IoU 0.50."""

    ap: float
    ap50: float


def precision_by_place(annotations: Path, detections: Path) -> dict[str, Precision]:
    """Computes the precision on the tiles of each place, and on `all` tiles.

    Args:
        annotations: COCO annotations; an image's file is named `<place>_<left>_<top>.png`.
        detections: COCO results, as `CocoMetric(outfile_prefix=...)` leaves them.
    """
    truth = COCO(str(annotations))
    places: dict[str, list[int]] = {}
    for image_id, image in truth.imgs.items():
        places.setdefault(image["file_name"].rsplit("_", 2)[0], []).append(image_id)
    places[ALL] = sorted(truth.imgs)
    rows = json.loads(detections.read_text(encoding="utf-8"))
    if not rows:
        return dict.fromkeys(places, Precision(0.0, 0.0))
    found = truth.loadRes(rows)
    return {place: _precision(truth, found, image_ids) for place, image_ids in places.items()}


def _precision(truth: COCO, found: COCO, image_ids: list[int]) -> Precision:
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.params.imgIds = image_ids
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return Precision(float(evaluation.stats[0]), float(evaluation.stats[1]))

"""Average precision place by place, on detections whose precision is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from headweights.demo.annotated import AnnotatedImage, as_boxes
from headweights.demo.coco import write_coco
from headweights.demo.precision import Precision, precision_by_place

BOXES = [[0, 0, 20, 20], [40, 40, 80, 80]]


def precision(folder: Path, detections: list[dict[str, object]]) -> dict[str, Precision]:
    pixels = np.zeros((100, 100, 3), dtype=np.uint8)
    names = ("A-1_0_0", "A-1_0_100", "B_0_0")
    write_coco((AnnotatedImage(name, pixels, as_boxes(BOXES), as_boxes([])) for name in names), folder / "set")
    (folder / "found.json").write_text(json.dumps(detections))
    return precision_by_place(folder / "set" / "annotations.json", folder / "found.json")


def detection(image: int, box: list[float]) -> dict[str, object]:
    return {"image_id": image, "category_id": 1, "bbox": box, "score": 0.5}


def test_each_place_has_its_own(tmp_path: Path) -> None:
    """All crowns of A are found, to the pixel; in B one of two, loosely, with an IoU of 32 x 32 / (40 x 40) = 0.64."""
    everything = [detection(image, box) for image in (1, 2) for box in ([0, 0, 20, 20], [40, 40, 40, 40])]
    found = precision(tmp_path, [*everything, detection(3, [40, 40, 32, 32])])
    assert list(found) == ["A-1", "B", "all"]
    assert found["A-1"] == Precision(pytest.approx(1.0), pytest.approx(1.0))
    # Recall is 1/2: the precision is 1 up to there, at 51 of COCO's 101 points. IoU 0.64 passes 3 of the 10 thresholds.
    assert found["B"].ap50 == pytest.approx(51 / 101)
    assert found["B"].ap == pytest.approx(0.3 * 51 / 101)
    assert 0.5 < found["all"].ap50 < 1


def test_without_detections_it_is_zero(tmp_path: Path) -> None:
    assert precision(tmp_path, []) == dict.fromkeys(("A-1", "B", "all"), Precision(0.0, 0.0))

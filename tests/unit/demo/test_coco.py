"""The annotation file says what the images hold."""

import json
from pathlib import Path

import cv2
import numpy as np

from headweights.demo.annotated import AnnotatedImage, as_boxes, write_coco


def test_images_boxes_and_ignored_regions_are_written(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    images = [
        AnnotatedImage("one", pixels, as_boxes([[1, 2, 5, 10], [0, 0, 30, 20]]), as_boxes([[3, 3, 4, 5]])),
        AnnotatedImage("two", pixels[::-1].copy(), as_boxes([]), as_boxes([])),
    ]
    assert write_coco(images, tmp_path / "set") == (2, 2)
    content = json.loads((tmp_path / "set" / "annotations.json").read_text())
    assert content["images"] == [
        {"id": 1, "file_name": "one.png", "width": 30, "height": 20},
        {"id": 2, "file_name": "two.png", "width": 30, "height": 20},
    ]
    rows = content["annotations"]
    assert [row["bbox"] for row in rows] == [[1, 2, 4, 8], [0, 0, 30, 20], [3, 3, 1, 2]]
    assert [row["area"] for row in rows] == [32, 600, 2]
    assert [row["iscrowd"] for row in rows] == [0, 0, 1]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert {row["image_id"] for row in rows} == {1}
    assert content["categories"] == [{"id": 1, "name": "tree"}]
    assert np.array_equal(cv2.imread(str(tmp_path / "set" / "images" / "one.png")), pixels)

"""The annotation file says what the images hold."""

import json
from pathlib import Path

import cv2
import numpy as np

from headweights.demo.scenes import Scene, as_boxes, of_one_class, write


def test_images_boxes_and_ignored_regions_are_written(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    images = [
        of_one_class("one", pixels, as_boxes([[1, 2, 5, 10], [0, 0, 30, 20]]), as_boxes([[3, 3, 4, 5]])),
        of_one_class("two", pixels[::-1].copy(), as_boxes([])),
    ]
    assert write(images, tmp_path / "set", ("tree",)) == (2, 2)
    content = json.loads((tmp_path / "set" / "annotations.json").read_text())
    assert content["images"] == [
        {"id": 0, "file_name": "one.png", "width": 30, "height": 20},
        {"id": 1, "file_name": "two.png", "width": 30, "height": 20},
    ]
    rows = content["annotations"]
    assert [row["bbox"] for row in rows] == [[1, 2, 4, 8], [0, 0, 30, 20], [3, 3, 1, 2]]
    assert [row["area"] for row in rows] == [32, 600, 2]
    assert [row["iscrowd"] for row in rows] == [0, 0, 1]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert {row["image_id"] for row in rows} == {0}
    assert content["categories"] == [{"id": 0, "name": "tree"}]
    assert np.array_equal(cv2.imread(str(tmp_path / "set" / "images" / "one.png")), pixels)


def test_scenes_without_a_name_are_numbered_and_what_is_known_of_their_errors_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    scene = Scene(pixels, as_boxes([[0, 0, 4, 4], [4, 4, 8, 8]]), np.array([1, 0]), trust=np.array([0.25, 1.0], dtype=np.float32))
    assert write([scene, scene], tmp_path, ("a", "b")) == (2, 4)
    content = json.loads((tmp_path / "trusted.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["0000.png", "0001.png"]
    assert [row["category_id"] for row in content["annotations"]] == [1, 0, 1, 0]
    assert [row["loss_weight"] for row in content["annotations"]] == [0.25, 1.0, 0.25, 1.0]
    assert "loss_weight" not in json.loads((tmp_path / "annotations.json").read_text())["annotations"][0]

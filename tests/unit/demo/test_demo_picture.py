"""The picture: which detections are right, and what is drawn."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from headweights.demo.picture import GAP, GIVEN, RIGHT, TITLE, WIDTH, WRONG, Box, judged, write_picture
from headweights.demo.scenes import DataSet, Scene, as_boxes, write

ONE, OTHER = Box("one", 0, 0, 10, 10), Box("two", 20, 0, 10, 10)


def test_the_overlap_is_the_intersection_over_the_union() -> None:
    assert ONE.overlaps(ONE) == 1
    assert ONE.overlaps(OTHER) == 0
    assert ONE.overlaps(Box("one", 5, 0, 10, 10)) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("found", "colours"),
    [
        ([ONE, OTHER], [RIGHT, RIGHT]),
        ([Box("one", 1, 1, 10, 10), Box("two", 4, 4, 10, 10)], [RIGHT, WRONG]),
        ([Box("two", 0, 0, 10, 10)], [WRONG]),
        ([ONE, ONE], [RIGHT, WRONG]),
        ([], []),
    ],
)
def test_a_detection_is_right_with_the_right_class_in_the_right_place_once(found: list[Box], colours: list[object]) -> None:
    assert judged(found, [ONE, OTHER]) == list(zip(found, colours))


def test_every_training_set_and_every_run_has_a_panel(tmp_path: Path) -> None:
    grey = np.full((32, 32, 3), 128, dtype=np.uint8)
    empty = Scene(grey, as_boxes([]), np.zeros(0, dtype=np.int64))
    full = Scene(grey, as_boxes([[8, 8, 16, 24], [16, 8, 30, 24]]), np.array([0, 1]))
    uses = {"letters": "pretraining", "clean": "training", "noisy": "training", "held_out": "test"}
    sets = [DataSet(tmp_path / n, use, "", *write([empty, full], tmp_path / n, ("one", "two"))) for n, use in uses.items()]
    runs = [tmp_path / "finds", tmp_path / "misses"]
    runs[0].mkdir()
    # The second row is in the place of the first one. The last one is not among the two most confident others.
    rows = [("one", [8, 8, 8, 16], 0.9), ("two", [8, 8, 8, 14], 0.8), ("one", [0, 0, 4, 4], 0.7), ("two", [16, 8, 14, 16], 0.6)]
    found = [dict(image_id=1, category_id=name == "two", bbox=box, score=score) for name, box, score in rows]
    (runs[0] / "held_out.bbox.json").write_text(json.dumps(found))
    picture = cv2.imread(str(write_picture(sets, runs, tmp_path / "picture.png")))
    assert picture.shape == (2 * (TITLE + WIDTH) + GAP + WIDTH, 3 * WIDTH + 2 * GAP, 3)

    def drawn(row: int, column: int, colour: tuple[int, int, int]) -> bool:
        top, left = row * (TITLE + WIDTH) + TITLE, column * (WIDTH + GAP)
        return bool((picture[top : top + WIDTH, left : left + WIDTH] == colour).all(axis=2).any())

    assert drawn(0, 0, GIVEN) and drawn(0, 1, GIVEN) and not drawn(0, 2, GIVEN)
    assert drawn(1, 0, GIVEN)
    assert drawn(1, 1, RIGHT) and drawn(1, 1, WRONG)
    assert not drawn(1, 2, RIGHT) and not drawn(1, 2, WRONG)

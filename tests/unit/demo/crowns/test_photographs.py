"""The photographs and their boxes, read from the installed package."""

from pathlib import Path

import numpy as np
import pytest

from headweights.demo.crowns import photographs
from headweights.demo.crowns.photographs import PLACES, photograph_folder, read_photograph, read_voc


def voc(*boxes: tuple[int, int, int, int]) -> str:
    objects = "".join(
        f"<object><name>Tree</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in boxes
    )
    return f"<annotation><size><width>9</width><height>9</height></size>{objects}</annotation>"


def test_voc_counts_from_one_and_includes_the_last_pixel(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(voc((1, 1, 9, 9), (3, 4, 3, 6)))
    assert read_voc(path).tolist() == [[0, 0, 9, 9], [2, 3, 3, 6]]


def test_voc_without_objects_has_no_boxes(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(voc())
    assert read_voc(path).shape == (0, 4)


@pytest.mark.parametrize("text", [voc((5, 1, 3, 9)), voc((1, 1, 9, 9)).replace("<xmin>1</xmin>", "")])
def test_a_box_that_is_none_names_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.xml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.xml: not a box"):
        read_voc(path)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_has_a_picture_with_boxes_inside(place: str) -> None:
    picture = read_photograph(place)
    width, height = picture.size
    assert picture.name == place
    assert len(picture.boxes) > 30
    assert (picture.boxes[:, :2] >= 0).all()
    assert (picture.boxes[:, 2:] <= [width, height]).all()
    assert (picture.boxes[:, 2:] > picture.boxes[:, :2]).all()


def test_a_missing_picture_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLACES, "OSBS", "NOWHERE_1")
    with pytest.raises(FileNotFoundError, match="NOWHERE_1"):
        read_photograph("OSBS")


def test_without_deepforest_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install deepforest --no-deps"):
        photograph_folder()


def test_boxes_are_where_trees_are() -> None:
    """In the sandy scrub of OSBS a crown is greener than what is around it: the boxes are neither shifted nor transposed."""
    picture = read_photograph("OSBS")
    blue, green, red = np.moveaxis(picture.image.astype(np.float32), 2, 0)
    greenness = 2 * green - red - blue
    inside = np.zeros(greenness.shape, dtype=bool)
    for left, top, right, bottom in picture.boxes.astype(int):
        inside[top:bottom, left:right] = True
    assert greenness[inside].mean() > greenness[~inside].mean() + 10

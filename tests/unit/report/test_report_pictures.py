"""Sample pictures: small, upright, readable, with boxes that show what they count."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headweights.report.pictures import MOST, Picture, pictures_of
from headweights.run_record.schema import DataSetRecord, Sample


def one(folder: Path, sample: Sample, classes: list[str] | None = None) -> Picture:
    (picture,) = pictures_of(DataSetRecord(name="a", classes=classes or [], samples=[sample]), folder)
    return picture


def decoded(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.uri.removeprefix("data:image/jpeg;base64,"))))


def test_a_large_picture_becomes_small_and_keeps_its_boxes_pixels(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 800), "red").save(tmp_path / "a.png")
    picture = one(tmp_path, Sample(image="a.png", boxes=[(100, 200, 300, 500)]))
    assert decoded(picture).size == (640, 320)
    assert (picture.width, picture.height) == (1600, 800)
    (box,) = picture.boxes
    assert (box.x, box.y, box.width, box.height) == (100, 200, 200, 300)


def test_a_picture_on_its_side_is_turned_as_mmdetection_does(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    picture = one(tmp_path, Sample(image=str(tmp_path / "a.jpg")))
    assert (picture.width, picture.height) == (20, 40)
    assert decoded(picture).size == (20, 40)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16", "F"])
def test_any_kind_of_picture(tmp_path: Path, mode: str) -> None:
    ramp = np.tile(np.linspace(0, 60000, 64), (8, 1))
    if mode == "I;16":
        picture = Image.fromarray(ramp.astype(np.uint16))
    elif mode == "F":
        picture = Image.fromarray(ramp.astype(np.float32))
    else:
        picture = Image.fromarray((ramp / 256).astype(np.uint8)).convert("RGB").convert(mode)
    assert picture.mode == mode
    picture.save(tmp_path / "a.tif")
    shown = np.asarray(decoded(one(tmp_path, Sample(image="a.tif"))).convert("L"), dtype=float)
    assert shown[:, :8].mean() < 60
    assert shown[:, -8:].mean() > 180


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_broken_image_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    picture = one(tmp_path, Sample(image="a.png"))
    assert picture.uri == ""
    assert "a.png could not be read" in picture.problem


@pytest.mark.parametrize("name", ["a.png", "", ".", "x\0y", "x" * 5000])
def test_a_missing_image_is_reported(tmp_path: Path, name: str) -> None:
    assert one(tmp_path, Sample(image=name)).problem


def test_a_box_that_counts_less_is_thinner_and_fainter(tmp_path: Path) -> None:
    Image.new("RGB", (40, 20)).save(tmp_path / "a.png")
    boxes = [(0.0, 0.0, 9.0, 9.0)] * 4
    picture = one(tmp_path, Sample(image="a.png", boxes=boxes, labels=[0, 1, -1], object_weights=[0, 0.5, 1]), ["tree"])
    none, half, full, plain = picture.boxes
    assert none.line < half.line < full.line == plain.line
    assert none.opacity < half.opacity < full.opacity == plain.opacity == 1
    assert [box.title for box in picture.boxes] == ["tree, weight 0", "class 1, weight 0.5", "class -1, weight 1", ""]
    assert picture.caption == "4 objects; weights 0 to 1"


def test_no_more_than_six(tmp_path: Path) -> None:
    samples = [Sample(image=f"{n}.png") for n in range(9)]
    assert len(pictures_of(DataSetRecord(name="a", samples=samples), tmp_path)) == MOST

"""The three data sets: sizes, sites, and the same data from the same seed."""

import json
from pathlib import Path

import pytest

from headweights.demo.crowns import data
from headweights.demo.crowns.data import make_data


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "REAL_TILES", 6)
    monkeypatch.setattr(data, "RENDERED_TILES", 3)


def annotations(folder: Path) -> dict[str, list[dict[str, object]]]:
    return {name: json.loads((folder / name / "annotations.json").read_text()) for name in ("real", "rendered", "held_out")}


def test_real_and_held_out_tiles_are_of_different_places(tmp_path: Path) -> None:
    real, rendered, held_out = make_data(tmp_path, 0)
    assert (real.folder.name, real.images) == ("real", 6)
    assert (rendered.folder.name, rendered.images) == ("rendered", 3)
    # Two pictures of 400 x 400 pixels in four tiles each, and one of 1249 x 1035 in 6 x 5.
    assert (held_out.folder.name, held_out.images) == ("held_out", 38)
    content = annotations(tmp_path)
    places = {name: {row["file_name"].split("_")[0] for row in content[name]["images"]} for name in content}
    assert places["real"] == {"YELL-528"}
    assert places["held_out"] == {"YELL-541", "OSBS", "SOAP"}


def test_counts_are_those_of_the_files(tmp_path: Path) -> None:
    for made in make_data(tmp_path, 0):
        assert len(list((made.folder / "images").iterdir())) == made.images
        rows = json.loads((made.folder / "annotations.json").read_text())["annotations"]
        assert sum(not row["iscrowd"] for row in rows) == made.boxes


def test_the_seed_decides_the_training_data_and_not_the_test(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        make_data(tmp_path / name, seed)
    one, same, other = (annotations(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same
    assert one["held_out"] == other["held_out"]
    assert one["real"] != other["real"]
    assert one["rendered"] != other["rendered"]


def test_every_real_tile_to_train_on_has_crowns(tmp_path: Path) -> None:
    make_data(tmp_path, 4)
    content = annotations(tmp_path)["real"]
    for image in content["images"]:
        assert sum(row["image_id"] == image["id"] and not row["iscrowd"] for row in content["annotations"]) >= 2

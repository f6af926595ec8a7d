"""Which class the categories of a COCO file are labelled as: by stock data sets, and by those that go by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset
from support.class_order import CLASSES, in_file_order, names_of_objects

from headweights import WeightError
from headweights.mmdet.classes.order import (
    categories_of,
    labels_by_name,
    load_by_name,
    mislabelled,
    mislabelled_in,
)

WRONG = {
    ("person", "car", "dog"): {"person": "car", "car": "person"},
    ("dog", "car", "person"): {"dog": "car", "car": "person", "person": "dog"},
    ("person",): {"person": "car"},
    ("dog", "unheard of", "car"): {"dog": "car", "car": "person"},
}
RIGHT = [("car", "person", "dog"), ("car",), ("car", "person"), ("unheard of", "car", "person"), ("unheard of",), ()]


@pytest.mark.parametrize(("listed", "wrong"), WRONG.items())
def test_stock_mistakes_are_found_and_loading_by_name_repairs_them(
    tmp_path: Path, listed: tuple[str, ...], wrong: dict[str, str]
) -> None:
    data = DATASETS.build(in_file_order(tmp_path, "set", listed))
    assert mislabelled_in(data) == wrong
    assert {(name, label) for name, label in names_of_objects(data) if name != label} == set(wrong.items())
    load_by_name(data)
    assert mislabelled_in(data) == {}
    assert all(name == label for name, label in names_of_objects(data))
    assert {name for name, _ in names_of_objects(data)} == set(listed) & set(CLASSES)


@pytest.mark.parametrize("listed", RIGHT)
def test_no_false_alarm(tmp_path: Path, listed: tuple[str, ...]) -> None:
    data = DATASETS.build(in_file_order(tmp_path, "set", listed))
    assert mislabelled_in(data) == {}
    assert all(name == label for name, label in names_of_objects(data))
    assert list((categories_of(data) or {}).values()) == list(listed)


@pytest.mark.parametrize("serialize", [True, False])
@pytest.mark.parametrize("listed", [*WRONG, *RIGHT])
def test_the_type_goes_by_name(tmp_path: Path, listed: tuple[str, ...], serialize: bool) -> None:
    described = in_file_order(tmp_path, "set", listed)
    stock = DATASETS.build(described)
    data = DATASETS.build(dict(described, type="CocoDatasetByName", serialize_data=serialize))
    assert mislabelled_in(data) == {}
    assert len(data) == len(stock)
    assert [name for name, _ in names_of_objects(data)] == [name for name, _ in names_of_objects(stock)]
    assert all(name == label for name, label in names_of_objects(data))


@pytest.mark.parametrize("serialize", [True, False])
def test_loading_by_name_keeps_the_images(tmp_path: Path, serialize: bool) -> None:
    described = in_file_order(tmp_path, "set", ("dog", "person"), images=6, empty=(1, 3))
    data = DATASETS.build(dict(described, serialize_data=serialize, filter_cfg=dict(filter_empty_gt=True), indices=3))
    paths = [data.get_data_info(number)["img_path"] for number in range(len(data))]
    assert len(paths) == 3
    load_by_name(data)
    assert [data.get_data_info(number)["img_path"] for number in range(len(data))] == paths
    assert "parse_data_info" not in vars(data)
    assert all(name == label for name, label in names_of_objects(data))


def test_proposals_below_a_relative_root_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = in_file_order(tmp_path / "below", "people", ("person", "car"))
    (tmp_path / "below" / "proposals.json").write_text(json.dumps({f"people/{number}.png": number for number in range(4)}))
    monkeypatch.chdir(tmp_path)
    data = DATASETS.build(dict(described, data_root="below", proposal_file="proposals.json"))
    load_by_name(data)
    assert [data.get_data_info(number)["proposals"] for number in range(4)] == [0, 1, 2, 3]


def test_a_file_without_images(tmp_path: Path) -> None:
    for kind in ("CocoDataset", "CocoDatasetByName"):
        described = in_file_order(tmp_path, "empty", ("person", "car"), images=0)
        data = DATASETS.build(dict(described, type=kind, serialize_data=False))
        assert len(data) == 0
        assert mislabelled_in(data) == {}


def test_two_categories_of_one_name(tmp_path: Path) -> None:
    described = in_file_order(tmp_path, "set", ("person", "person", "car"))
    data = DATASETS.build(described)
    assert mislabelled_in(data) == {"car": "dog", "person": "car"}
    message = r"set\.json lists 2 categories called 'person'; to go by name, make them one"
    with pytest.raises(WeightError, match=message):
        load_by_name(data)
    with pytest.raises(WeightError, match=message):
        DATASETS.build(dict(described, type="CocoDatasetByName"))
    labels_by_name({1: "tree", 2: "tree", 3: "car"}, CLASSES, "a file")


def test_a_label_beyond_the_classes_is_no_class() -> None:
    assert mislabelled({7: "car", 8: "Car"}, {7: 5, 8: 6}, CLASSES) == {"car": None}


def test_videos_are_numbered_like_images(tmp_path: Path) -> None:
    described = in_file_order(tmp_path, "video", ("person", "car"))
    described["data_prefix"] = dict(img_path="video")
    data = DATASETS.build(dict(described, type="BaseVideoDataset"))
    assert mislabelled_in(data) == {"person": "car", "car": "person"}
    before = names_of_objects(data)
    assert before and all(name != label for name, label in before)
    load_by_name(data)
    assert names_of_objects(data) == [(name, name) for name, _ in before]


def test_classes_that_are_not_listed_are_left_alone(tmp_path: Path) -> None:
    class Own(BaseDataset):  # type: ignore[misc]
        def load_data_list(self) -> list[Any]:
            """One image."""
            return [dict(img_path="0.png")]

    data = Own(metainfo=dict(classes=CLASSES))
    for unlisted in (data, [0, 1]):
        assert categories_of(unlisted) is None
        assert mislabelled_in(unlisted) == {}

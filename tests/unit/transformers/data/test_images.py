"""Weights of single images, looked up by the names that data sets of transformers' users give them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Image, Value
from torch.utils.data import Dataset as TorchDataset

from headweights import WeightError
from headweights.transformers import LossWeights

FILES = ("a/1.png", "a/2.png", "b/1.png")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Files that are no images: decoding one would fail."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    return [str(tmp_path / name) for name in FILES]


def with_images(files: list[str], **columns: Any) -> Dataset:
    return Dataset.from_dict({"image": files, **columns}).cast_column("image", Image())


def with_names(files: list[str]) -> Dataset:
    return Dataset.from_dict({"file_name": files, "image": [{"bytes": b"no image", "path": None}] * 3}, features=NAMES)


NAMES = Features({"file_name": Value("string"), "image": Image()})


def weights_of(dataset: Any, source: Any) -> list[Any]:
    (found,) = LossWeights(images={"real": source}).mix(real=dataset).sources
    assert found.own is not None
    return [found.own.weights(number) for number in range(len(found))]


def csv(folder: Path, text: str) -> Path:
    (folder / "weights.csv").write_text(text)
    return folder / "weights.csv"


@pytest.mark.parametrize("dataset", [with_images, with_names])
def test_images_are_found_by_their_files_and_not_decoded(dataset: Any, files: list[str], tmp_path: Path) -> None:
    expected = [{"": 0.5}, {"loss_ce": 2}, {}]
    for table in (dataset(files), dataset(files).with_transform(lambda batch: batch)):
        assert weights_of(table, {"a/1.png": 0.5, "2.png": {"loss_ce": 2.0}}) == expected
        assert weights_of(table, csv(tmp_path, "file_name,weight,loss_ce\na/1.png,0.5,\n2.png,,2\n")) == expected
        (tmp_path / "weights.json").write_text(json.dumps({"a/1.png": 0.5, "2.png": {"loss_ce": 2}}))
        assert weights_of(table, str(tmp_path / "weights.json")) == expected
        assert weights_of(table, {"a/*": 3.0}) == [{"": 3}, {"": 3}, {}]


def test_images_are_found_by_their_id(files: list[str], tmp_path: Path) -> None:
    table = with_images(files, image_id=[7, 8, 9])
    assert weights_of(table, {7: 0.5, "b/1.png": 2.0}) == [{"": 0.5}, {}, {"": 2}]
    assert weights_of(table, csv(tmp_path, "image_id,weight\n9,0.5\n")) == [{}, {}, {"": 0.5}]


def test_a_function_gets_what_the_data_set_knows_but_for_pixels(files: list[str]) -> None:
    def of(info: Any) -> float:
        assert isinstance(info["image"], dict)
        return 0.5 if info["image_id"] == 7 else 1.0

    assert weights_of(with_images(files, image_id=[7, 8, 9]), of) == [{"": 0.5}, {"": 1}, {"": 1}]


@pytest.mark.parametrize("dataset", [Dataset.from_dict({"pixels": [1, 2]}), [{"image_id": 1}]])
def test_a_data_set_whose_images_have_no_names_is_an_error(dataset: Any) -> None:
    with pytest.raises(
        WeightError, match=r"images: data set 'real' is a \w+, whose images have no names here: no column 'image_id'"
    ):
        weights_of(dataset, {1: 0.5})


class Coco(TorchDataset[Any]):
    """A data set around COCO's API, like torchvision's."""

    def __init__(self, file: Path) -> None:
        from pycocotools.coco import COCO

        self.coco = COCO(str(file))
        self.ids = sorted(self.coco.imgs)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> Any:
        found = self.coco.loadAnns(self.coco.getAnnIds(self.ids[number]))
        return "image", {"image_id": self.ids[number], "annotations": found}


def test_images_of_a_coco_file_are_found_by_name_and_id(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    images = [{"id": number, "file_name": f"{number}.jpg", "height": 1, "width": 1} for number in (5, 3, 4)]
    box = {"id": 1, "image_id": 4, "category_id": 1, "bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0}
    content = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "digit"}]}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    dataset = Coco(tmp_path / "coco.json")
    assert weights_of(dataset, {"3.jpg": 0.5, 5: {"loss_ce": 2.0}}) == [{"": 0.5}, {}, {"loss_ce": 2}]
    assert weights_of(dataset, lambda info: info["id"]) == [{"": 3}, {"": 4}, {"": 5}]
    mix = LossWeights(images={"real": {4: 0.5}}).mix(real=dataset)
    assert mix[1] == ("image", {"image_id": 4, "annotations": [box], "dataset": "real", "loss_weight": {"": 0.5}})

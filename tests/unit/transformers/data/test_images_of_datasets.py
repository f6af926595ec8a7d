"""Weights of images from files, for the data sets that people have: of the library datasets, and around COCO's API."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image as PILImage
from pycocotools.coco import COCO

from headweights import WeightError
from headweights.transformers import LossWeights


@pytest.fixture
def photographs(tmp_path: Path) -> datasets.Dataset:
    """Four rows of two sources, with images that nobody can open: looking weights up must not."""
    paths = [str(tmp_path / f"{number}.png") for number in range(4)]
    for path in paths:
        Path(path).write_bytes(b"no image")
    rows = {"image_id": list(range(4)), "image": paths, "source": ["real", "synthetic", "real", "synthetic"]}
    features = datasets.Features(
        image_id=datasets.Value("int64"), image=datasets.Image(decode=True), source=datasets.Value("string")
    )
    return datasets.Dataset.from_dict(rows, features=features)


def with_labels(rows: dict[str, Any]) -> dict[str, Any]:
    return {"labels": [{"image_id": image_id} for image_id in rows["image_id"]]}


def entries(mix: Any) -> dict[int, tuple[str, Any]]:
    labels = [mix[index]["labels"] for index in range(len(mix))]
    return {label["image_id"]: (label["dataset"], label.get("loss_weight")) for label in labels}


def transformed(dataset: datasets.Dataset) -> datasets.Dataset:
    return dataset.remove_columns("image").with_transform(with_labels)


def test_a_column_names_the_data_sets(photographs: datasets.Dataset) -> None:
    mix = LossWeights().mix(transformed(photographs), column="source")
    assert [source.name for source in mix.sources] == ["real", "synthetic"]
    assert mix.drawn == [2, 2]
    assert entries(mix) == {0: ("real", None), 2: ("real", None), 1: ("synthetic", None), 3: ("synthetic", None)}


def test_a_column_that_is_not_there_or_holds_no_names_is_an_error(photographs: datasets.Dataset) -> None:
    with pytest.raises(WeightError, match="no column 'vendor'; its columns: image_id, image, source"):
        LossWeights().mix(photographs, column="vendor")
    with pytest.raises(WeightError, match="column 'image_id' holds 0"):
        LossWeights().mix(photographs, column="image_id")


def test_images_are_found_by_file_name_without_decoding_them(photographs: datasets.Dataset, tmp_path: Path) -> None:
    (tmp_path / "quality.csv").write_text("file_name,loss_bbox\n1.png,0.5\n3.png,0.25\n")
    weights = LossWeights(images={"all": str(tmp_path / "quality.csv")})
    source = weights.mix(all=photographs).sources[0]
    assert source.own is not None
    assert [source.own.weights(number) for number in range(4)] == [{}, {"loss_bbox": 0.5}, {}, {"loss_bbox": 0.25}]


def test_images_are_found_by_id_in_the_rows_of_a_column(photographs: datasets.Dataset) -> None:
    weights = LossWeights(images={"synthetic": {"3": 0.25, "1": {"loss_bbox": 0.5}}})
    mix = weights.mix(transformed(photographs), column="source")
    assert entries(mix) == {
        0: ("real", None),
        2: ("real", None),
        1: ("synthetic", {"loss_bbox": 0.5}),
        3: ("synthetic", {"": 0.25}),
    }


def test_an_image_that_is_not_there_is_an_error(photographs: datasets.Dataset) -> None:
    with pytest.raises(WeightError, match=r"'7\.png'"):
        LossWeights(images={"all": {"7.png": 0.5}}).mix(all=photographs)


class CocoDetection:
    """What torchvision's data set of that name has."""

    def __init__(self, annotations: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(str(annotations))
        self.ids = sorted(self.coco.imgs)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[PILImage.Image, dict[str, Any]]:
        return PILImage.new("RGB", (4, 4)), {"image_id": self.ids[index]}


def test_images_are_found_through_coco_s_api(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in (5, 6)]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    mix = LossWeights(images={"a": {"6.jpg": 0.5}}).mix(a=CocoDetection(path))
    assert [mix[index][1] for index in range(2)] == [
        {"image_id": 5, "dataset": "a"},
        {"image_id": 6, "dataset": "a", "loss_weight": {"": 0.5}},
    ]

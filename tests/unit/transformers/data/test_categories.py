"""A model that calls the categories of a data set otherwise: an error where the labels show it, advice where nothing does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from support.transformers_zoo import ZOO, build
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset

from headweights import WeightError
from headweights.transformers import LossWeights
from headweights.transformers.data.categories import class_problem

try:
    from datasets import List
except ImportError:  # before datasets 4
    from datasets import Sequence as List

NAMES = ["car", "person", "dog"]
REVERSED = dict(enumerate(NAMES[::-1]))
CATEGORIES = [[0], [], [0, 2], [1]]

LABELS = List(ClassLabel(names=NAMES))
SHAPES: dict[str, tuple[Any, Any]] = {
    "a list of dicts": (List({"category": ClassLabel(names=NAMES)}), lambda row: [{"category": number} for number in row]),
    "a dict of lists": ({"category": LABELS, "area": List(Value("int64"))}, lambda row: {"category": row, "area": row}),
    "a list": (LABELS, lambda row: row),
}


def rows(shape: str) -> Dataset:
    feature, written = SHAPES[shape]
    column = "labels" if shape == "a list" else "objects"
    return Dataset.from_dict({column: [written(row) for row in CATEGORIES]}, features=Features({column: feature}))


def prepared(shape: str, renumbered: int = 0) -> Dataset:
    """Its items have label dicts, as an image processor makes them."""
    data = rows(shape)
    (column,) = data.column_names

    def transform(batch: dict[str, Any]) -> dict[str, Any]:
        found = []
        for row in batch[column]:
            if isinstance(row, Mapping):
                row = row["category"]
            row = [part["category"] if isinstance(part, Mapping) else part for part in row]
            found.append({"class_labels": torch.tensor(row, dtype=torch.long) + renumbered})
        return {"labels": found}

    return data.with_transform(transform)


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_that_the_model_calls_otherwise_stop_the_training(shape: str) -> None:
    problem = class_problem("real", prepared(shape), REVERSED)
    assert problem is not None and problem.stops
    assert problem.message.startswith(
        "data set 'real' and the model's id2label number the classes differently: 0 is 'car', in the model 'dog', 2 is 'dog', in "
        "the model 'car'. Give the model the names"
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_number_that_the_model_does_not_have_does_too(shape: str) -> None:
    problem = class_problem("real", Subset(prepared(shape), [0]), {0: "person", 1: "car"})
    assert problem is not None and problem.stops
    assert "0 is 'car', in the model 'person', 1 is 'person', in the model 'car'." in problem.message
    lacking = class_problem("real", prepared(shape), {0: "car", 3: "dog"})
    assert lacking is not None and "2 is 'dog', in the model no class" in lacking.message


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "id2label",
    [
        dict(enumerate(NAMES)),
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        {0: "voiture", 1: "personne", 2: "chien"},
        {0: "N/A", 1: "person", 2: "dog", 3: "bird"},
        {},
    ],
)
def test_no_false_alarm(shape: str, id2label: dict[int, str]) -> None:
    assert class_problem("real", prepared(shape), id2label) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_a_data_set_that_renumbers_its_categories_is_right(shape: str) -> None:
    assert class_problem("real", prepared(shape, renumbered=1), {0: "N/A", 1: "car", 2: "person", 3: "dog"}) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_where_no_item_has_a_label_it_is_advice(shape: str) -> None:
    problem = class_problem("real", rows(shape), REVERSED)
    assert problem is not None and not problem.stops
    assert problem.message.endswith("All is well if your collator renumbers them.")


def test_a_class_of_whole_images_tells_nothing() -> None:
    features = Features({"label": ClassLabel(names=NAMES)})
    assert class_problem("real", Dataset.from_dict({"label": [0, 1]}, features=features), REVERSED) is None
    assert class_problem("real", [{"labels": {"class_labels": torch.tensor([0])}}], REVERSED) is None


class Coco(TorchDataset[Any]):
    """A data set around COCO's API, like torchvision's."""

    def __init__(self, folder: Path, renumbered: bool = False) -> None:
        coco = pytest.importorskip("pycocotools.coco")
        annotations = [
            dict(id=10 * image + number + 1, image_id=image, category_id=number + 1, bbox=[0, 0, 1, 1], area=1, iscrowd=0)
            for image, row in enumerate(CATEGORIES)
            for number in row
        ]
        content = dict(
            images=[dict(id=image, file_name=f"{image}.png") for image in range(len(CATEGORIES))],
            annotations=annotations,
            categories=[dict(id=number + 1, name=name) for number, name in enumerate(NAMES)],
        )
        (folder / "coco.json").write_text(json.dumps(content))
        self.coco = coco.COCO(str(folder / "coco.json"))
        self.ids = sorted(self.coco.imgs)
        self.renumbered = renumbered

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> Any:
        return "image", self.coco.loadAnns(self.coco.getAnnIds(imgIds=[self.ids[number]]))


class Prepared(Coco):
    def __getitem__(self, number: int) -> Any:
        torch.rand(1)  # as an augmentation draws
        ids = [annotation["category_id"] - self.renumbered for annotation in super().__getitem__(number)[1]]
        return {"labels": {"class_labels": torch.tensor(ids, dtype=torch.long)}}


@pytest.mark.parametrize("kind", [Coco, Prepared])
def test_labels_of_a_coco_file_are_the_ids_of_its_categories(tmp_path: Path, kind: type[Coco]) -> None:
    problem = class_problem("real", kind(tmp_path), dict(enumerate(NAMES)))
    assert problem is not None and problem.stops
    assert (
        "1 is 'car', in the model 'person', 2 is 'person', in the model 'dog', 3 is 'dog', in the model no class."
        in problem.message
    )
    assert class_problem("real", kind(tmp_path), {number + 1: name for number, name in enumerate(NAMES)}) is None


def test_ids_that_are_renumbered_are_right_and_a_look_draws_nothing(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    assert class_problem("real", Prepared(tmp_path, renumbered=True), dict(enumerate(NAMES))) is None
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_check_and_the_training_say_it() -> None:
    model = build(next(arch for arch in ZOO if arch.model == "DetrForObjectDetection"))
    weights = LossWeights({"real": 0.5})
    mix = weights.mix(real=prepared("a list of dicts"), other=prepared("a list of dicts"))
    assert not weights.check(model, mix).stops
    model.config.id2label = REVERSED
    (first, second) = weights.check(model, mix).stops
    assert first.startswith("data set 'real'") and second.startswith("data set 'other'")
    with pytest.raises(WeightError, match="number the classes differently"):
        weights.weigh(model, mix)

"""``labelled`` of ``LossWeights``: what it checks, what it does in a ``Trainer``, and what it warns of."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.transformers_training import architecture, collate, train
from support.transformers_zoo import CLASSES, SIZE, build
from torch.utils.data import Dataset

from headweights import WeightError
from headweights.transformers import LossWeights
from headweights.transformers.weighting.models import WEIGHTED

NAMES = ("car", "person", "dog", "cat", "bird")
LABELLED = {"cars": ["car"], "rest": ["person", "dog", "cat", "bird"]}


class Labelled(Dataset[Any]):
    """Images of noise with objects of some classes, and the API of the COCO file that they are from."""

    def __init__(self, classes: tuple[int, ...], images: int = 4) -> None:
        self.classes = classes
        self.ids = list(range(images))
        self.coco = SimpleNamespace(
            cats={number: {"id": number, "name": NAMES[number]} for number in classes},
            getAnnIds=lambda **images: images["imgIds"],
            loadAnns=lambda ids: [{"category_id": number} for number in classes],
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> dict[str, Any]:
        if number >= len(self):
            raise IndexError(number)
        random = torch.Generator().manual_seed(number)
        labels = {
            "image_id": number,
            "class_labels": torch.tensor(self.classes),
            "boxes": torch.rand(len(self.classes), 4, generator=random) * 0.3 + 0.3,
        }
        return {"pixel_values": torch.rand(3, SIZE, SIZE, generator=random), "labels": labels}


CARS, REST = Labelled((0,)), Labelled((1, 2, 3, 4))


def model(name: str = "detr") -> Any:
    built = build(architecture(name))
    built.config.id2label = dict(enumerate(NAMES))
    assert len(NAMES) == CLASSES
    return built


def stops(labelled: Any, **weights: Any) -> str:
    given = LossWeights(weights, labelled=labelled)
    return "\n".join(given.check(model(), given.mix(cars=CARS, rest=REST)).stops)


def test_what_each_data_set_labels_is_in_the_table() -> None:
    for labelled in (LABELLED, {"cars": "categories", "rest": "categories"}):
        weights = LossWeights(labelled=labelled)
        checked = weights.check(model(), weights.mix(cars=CARS, rest=REST))
        assert not checked.problems
        assert [known.labelled for known in checked.mix.datasets.values()] == [("car",), NAMES[1:]]
        assert "| person, dog, cat, bird |" in str(checked)


@pytest.mark.parametrize(
    ("labelled", "message"),
    [
        ({"car": ["car"]}, "LossWeights: labelled: 'car' is no data set of this training. Nearest valid: 'cars'"),
        ({"cars": ["caar"]}, "LossWeights: labelled: 'cars': 'caar' is no class of this training. Nearest valid: 'car'"),
        ({"cars": ["car"], "rest": ["dog"]}, "no data set labels class 'person'"),
    ],
)
def test_mistakes(labelled: dict[str, Any], message: str) -> None:
    assert message in stops(labelled)


def test_labels_that_weigh_nothing() -> None:
    assert "the data sets that label class 'car' weigh 0 in loss_ce" in stops(LABELLED, cars={"loss_ce": 0})


def test_categories_that_nothing_lists() -> None:
    weights = LossWeights(labelled={"cars": "categories"})
    checked = weights.check(model(), weights.mix(cars=list(CARS), rest=REST))  # type: ignore[call-overload]
    assert checked.stops == [
        "LossWeights: labelled: 'cars': nothing lists its categories: no COCO API, no ClassLabel. Give the classes as a list."
    ]


def test_prompts_are_lists_of_classes_already() -> None:
    losses = WEIGHTED["GroundingDinoForObjectDetection"]
    assert "leave the class out of the prompt" in losses.fixed_classes["loss_ce"]
    assert losses.book.at("loss_ce.background").background


@pytest.mark.parametrize("name", ["detr", "rt-detr"])
def test_a_training_learns_something_else_and_says_so(tmp_path: Path, name: str) -> None:
    states = []
    for number, labelled in enumerate((None, {key: list(NAMES) for key in LABELLED}, LABELLED)):
        weights = LossWeights(labelled=labelled, interval=2)
        torch.manual_seed(0)
        run = train(tmp_path / str(number), model(name), weights.mix(cars=CARS, rest=REST), weights)
        states.append(run.state)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0]), "every class is labelled"
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])
    record = json.loads((tmp_path / "2" / "headweights.json").read_text())
    assert [each["labelled"] for each in record["datasets"]] == [["car"], list(NAMES[1:])]


def test_an_object_of_a_class_that_is_not_labelled_stops_the_training(tmp_path: Path) -> None:
    weights = LossWeights(labelled={"cars": ["person"]})
    with pytest.raises(WeightError, match=r"of data set 'cars', holds a class that the data set does not label.*: \[0\]"):
        train(tmp_path, model(), weights.mix(cars=CARS, rest=REST), weights)


def test_an_evaluation_that_labels_less_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = LossWeights(labelled=LABELLED)
    settings = dict(eval_strategy="steps", eval_steps=2, per_device_eval_batch_size=2, prediction_loss_only=True)
    with caplog.at_level(logging.WARNING, "headweights"):
        train(tmp_path, model(), weights.mix(cars=CARS, rest=REST), weights, evaluated=CARS, collator=collate, **settings)
    warnings = [record.getMessage() for record in caplog.records if "evaluation data" in record.getMessage()]
    assert len(warnings) == 1
    assert "does not label 'person', 'dog', 'cat', 'bird'" in warnings[0]

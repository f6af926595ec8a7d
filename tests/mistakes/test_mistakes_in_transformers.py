"""Mistakes with `LossWeights` and the `Trainer`, as a new user makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.mistakes import Mistake, check_message
from support.transformers_training import Drawn, architecture, collate, train
from support.transformers_zoo import ZOO, build
from torch.utils.data import ConcatDataset, Dataset
from transformers import ViTConfig, ViTForImageClassification

from headweights.transformers import LossWeights

DETR = architecture(next(arch.name for arch in ZOO if arch.model == "DetrForObjectDetection"))
REAL, SYNTHETIC = Drawn(1, 4), Drawn(2, 4)


class Pairs(Dataset[Any]):
    """Images and boxes without a dict."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, number: int) -> Any:
        return torch.zeros(3, 32, 32), torch.zeros(1, 4)


def mixed(weights: LossWeights) -> Any:
    return weights.mix(real=REAL, synthetic=SYNTHETIC)


def training(weights: Any = None, more: Any = (), data: Any = None, model: Any = None, **settings: Any) -> Callable[[Path], Any]:
    """A training with this block; `settings` are of `LossWeights`, `more` are further callbacks."""

    def make(folder: Path) -> None:
        callback = LossWeights(weights, **settings)
        train(folder, model() if model else build(DETR), data or mixed(callback), callback, more, max_steps=1)
        raise AssertionError("nothing was said")

    return make


def set_to(weights: Any = None, **settings: Any) -> Callable[[Path], Any]:
    """Settings that are refused at once."""
    return lambda folder: LossWeights(weights, **settings)


def twice(folder: Path) -> None:
    weights = LossWeights({"real": 0.5})
    train(folder, build(DETR), mixed(weights), weights, [weights], max_steps=1)


def unused_columns(folder: Path) -> None:
    weights = LossWeights({"real": 0.5})
    train(folder, build(DETR), mixed(weights), weights, remove_unused_columns=True)


def dropped_name(folder: Path) -> None:
    """A collator that makes the label dicts anew."""

    def anew(items: list[Any]) -> dict[str, Any]:
        batch = collate(items)
        batch["labels"] = [{key: label[key] for key in ("class_labels", "boxes")} for label in batch["labels"]]
        return batch

    weights = LossWeights({"real": 0.5})
    train(folder, build(DETR), mixed(weights), weights, collator=anew, max_steps=1)


def classifier() -> Any:
    return ViTForImageClassification(
        ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16)
    )


def mix(*given: Any, **named: Any) -> Callable[[Path], Any]:
    return lambda folder: LossWeights().mix(*given, **named)


MISTAKES = [
    # The block.
    Mistake("a typo in a data set", training({"synthetc": 0.5}), ("'synthetc' is no data set", "Nearest valid: 'synthetic'")),
    Mistake("a typo in a loss", training({"real": {"loss_box": 0.5}}), ("'loss_box'", "Nearest valid: 'loss_bbox'")),
    Mistake("a head of mmdetection", training({"real": {"roi_head": 0.5}}), ("'roi_head'", "Valid here: 'loss_ce', 'loss_bbox'")),
    Mistake(
        "a loss that cannot be told apart",
        training({"real": {"loss_giou": 0.5}}),
        ("'loss_giou'", "the same predictions as loss_bbox"),
    ),
    Mistake("a typo in the target", training({"real": 0.5}, target="reel"), ("target: 'reel'", "Nearest valid: 'real'")),
    Mistake(
        "a typo in a class", training({}, labelled=dict(real=["LABEL_O"])), ("'LABEL_O' is no class", "Nearest valid: 'LABEL_")
    ),
    Mistake("weights as a string", set_to("real=0.5"), ("weights is 'real=0.5'", "dict(<data set>=<weight>, ...)")),
    Mistake("a weight as a string", set_to({"real": "0.5"}), ("'0.5' of type str", "such as 0.3")),
    Mistake("a negative weight", set_to({"real": -0.5}), ("is -0.5", "not negative (0 takes the images out")),
    Mistake("a weight that is no number", set_to({"real": float("nan")}), ("is nan", "finite")),
    Mistake(
        "a typo in a schedule", set_to({"real": dict(schedule="cosin", points=[(0, 1.0)], by="iter")}), ("'cosin'", "'cosine'")
    ),
    Mistake(
        "a schedule by step",
        set_to({"real": dict(schedule="linear", points=[(0, 1.0)], by="step")}),
        ("by='step'", "'iter' or 'epoch'"),
    ),
    Mistake("a typo in an argument", set_to({"real": 0.5}, normalise=True), ("'normalise'", "Nearest valid: 'normalize'")),
    Mistake("data sets as arguments", set_to(real=1.0, synthetic=0.2), ("no argument 'real'", "Its arguments: weights")),
    # The data.
    Mistake("data sets without names", mix(REAL, SYNTHETIC), ("give them by name: mix(real=..., synthetic=...)",)),
    Mistake("data sets in a list", mix([REAL, SYNTHETIC]), ("give data sets by name: mix(real=..., synthetic=...)",)),
    Mistake("no data set", mix(), ("there is no data set", "mix(real=..., synthetic=...)")),
    Mistake("an empty data set", mix(real=REAL, synthetic=Drawn(2, 0)), ("data set 'synthetic' is empty",)),
    Mistake(
        "a typo in probabilities",
        mix(real=REAL, synthetic=SYNTHETIC, probabilities=dict(real=0.5, synthetc=0.5)),
        ("one number > 0 for each data set: real, synthetic",),
    ),
    Mistake(
        "items that are no dicts", lambda folder: mix(real=Pairs())(folder)[0], ("returns a tuple", "label['dataset'] = ...")
    ),
    Mistake(
        "a data set that is no mix",
        training({"real": 0.5}, data=ConcatDataset([REAL, SYNTHETIC])),
        ("LossWeights.mix writes it",),
    ),
    Mistake(
        "a collator that drops the name", dropped_name, ("does not say which data set it is of", "weights.collate(collator)")
    ),
    # The training.
    Mistake("the callback twice", twice, ("two LossWeights", "give it one, with all weights in its block")),
    Mistake("two callbacks", training({"real": 0.5}, more=[LossWeights({"synthetic": 0.5})]), ("two LossWeights", "give it one")),
    Mistake("columns that the Trainer drops", unused_columns, ("Set remove_unused_columns=False",)),
    Mistake(
        "a model that is no detector", training({"real": 0.5}, model=classifier), ("ViTForImageClassification", "It weighs Detr")
    ),
    Mistake(
        "data and model the wrong way round", lambda folder: LossWeights().check(REAL, build(DETR)), ("the model comes first",)
    ),
    Mistake("a step before the beginning", lambda folder: LossWeights().step(), ("call weigh(model, dataset) before",)),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_the_message_says_what_is_wrong_and_what_to_do(mistake: Mistake, tmp_path: Path) -> None:
    check_message(mistake, tmp_path)


def test_one_callback_can_train_twice(tmp_path: Path) -> None:
    """Two trainings in turn are no mistake, nor is one after another that failed."""
    weights = LossWeights({"real": 0.5})
    for number in range(2):
        train(tmp_path / str(number), build(DETR), mixed(weights), weights, max_steps=1)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "failed", build(DETR), mixed(weights), weights, collator=lambda items: 1 / 0, max_steps=1)
    train(tmp_path / "again", build(DETR), mixed(weights), LossWeights({"real": 2.0}), max_steps=1)

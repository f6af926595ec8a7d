"""An entry point gates a loss function's arguments by image or by object; how it matches objects is known or a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from headweights import WeightError
from headweights.gating.entry_point import EntryPoint
from headweights.gating.layouts import by_dimension, gate_each
from headweights.gating.matching import WHOLE, MatchedQueries, Matching, WeightTables

TABLES = (torch.tensor([1.0, 20, 30]), torch.tensor([5.0, 60]))


class FirstObject(Matching):
    """Every row of an image is matched to its first object."""

    gates_inside = True

    def __init__(self) -> None:
        self.given: Mapping[str, WeightTables] = {}

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        self.given = tables
        for name in tables.keys() - {WHOLE}:
            arguments[name] = gate_each(arguments[name], torch.stack([table[1] for table in tables[name]]))
        yield


def predictions() -> dict[str, Tensor]:
    return {name: torch.zeros(2, requires_grad=True) for name in ("logits", "boxes", "masks")} | {"labels": torch.zeros(2)}


def gradients(before: dict[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, list[float]]:
    torch.stack([after[name].sum() for name in before]).sum().backward()
    return {name: tensor.grad.tolist() for name, tensor in before.items() if tensor.grad is not None}


def test_each_prediction_is_gated_by_the_weights_of_the_loss_that_it_feeds() -> None:
    weights = {WHOLE: [2.0, 3.0], "loss_cls": [0.0, 1.0], "loss_mask": None}
    entry = EntryPoint(objects="unknown", feeds={"logits": "loss_cls", "masks": "loss_mask"})
    given = predictions()
    arguments = dict(given)
    entry.gate_by_image(arguments, weights.get, "Model.loss")
    assert arguments["masks"] is given["masks"]
    assert arguments["labels"] is given["labels"]
    assert gradients(given, arguments) == {"logits": [0, 1], "boxes": [2, 3], "masks": [1, 1]}


@pytest.mark.parametrize("entry", [{"predictions": ("logits",)}, {"handed_on": ("boxes", "masks")}])
def test_arguments_that_are_no_predictions_of_this_loss_are_left_alone(entry: dict[str, Any]) -> None:
    given = predictions()
    arguments = dict(given)
    EntryPoint(objects="unknown", **entry).gate_by_image(arguments, lambda loss: [2.0, 3.0], "Model.loss")
    assert gradients(given, arguments) == {"logits": [2, 3], "boxes": [1, 1], "masks": [1, 1]}


def test_an_argument_that_has_another_layout() -> None:
    arguments = {"logits": torch.zeros(2, 1, requires_grad=True), "boxes": torch.zeros(1, 2, requires_grad=True)}
    before = dict(arguments)
    EntryPoint(objects="unknown", layouts={"boxes": by_dimension(1)}).gate_by_image(
        arguments, lambda loss: [2.0, 3.0], "Model.loss"
    )
    assert gradients(before, arguments) == {"logits": [[2], [3]], "boxes": [[2, 3]]}


def test_an_argument_that_cannot_be_divided_is_named() -> None:
    with pytest.raises(WeightError, match=r"Model.loss: the argument 'logits' cannot be divided between the 3 images"):
        EntryPoint(objects="unknown").gate_by_image(predictions(), lambda loss: [2.0, 3.0, 4.0], "Model.loss")


def test_objects_are_gated_by_the_tables_of_the_loss_that_a_prediction_feeds() -> None:
    halves = [table / 2 for table in TABLES]
    matching = FirstObject()
    entry = EntryPoint(objects=matching, feeds={"logits": "loss_cls"})
    given = predictions()
    arguments = dict(given)
    gating = entry.gated_by_object(None, arguments, lambda loss: halves if loss == "loss_cls" else TABLES)
    assert gating is not None
    with gating:
        assert gradients(given, arguments) == {"logits": [10, 30], "boxes": [20, 60], "masks": [20, 60]}
    assert set(matching.given) == {"logits", "boxes", "masks", WHOLE}


def test_without_weights_per_object_there_is_nothing_to_gate_by_object() -> None:
    assert EntryPoint(objects=FirstObject()).gated_by_object(None, predictions(), lambda loss: None) is None


def test_weights_per_object_are_asked_for_even_where_there_cannot_be_any() -> None:
    """So that the one who has them can complain."""
    asked: list[str] = []
    complain: Callable[[str], None] = asked.append
    assert EntryPoint(objects="it has none").gated_by_object(None, predictions(), complain) is None
    assert asked == [WHOLE]


def test_a_way_of_matching_that_gates_nothing_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="gated"):
        type("Idle", (Matching,), {})()


def test_queries_are_weighted_layer_by_layer() -> None:
    matched = MatchedQueries()
    logits = torch.zeros(2, 3, 1, requires_grad=True)
    matched.numbers += [torch.tensor([1, 1, 1]), torch.tensor([1, 1, 1])]  # another layer
    gated = matched.gate(logits, TABLES)
    matched.numbers += [torch.tensor([0, 2, -1]), torch.tensor([7, 1, 0])]  # 7: stuff
    gated.sum().backward()
    assert logits.grad is not None
    assert logits.grad[..., 0].tolist() == [[1, 30, 1], [5, 60, 5]]
    assert matched.rows(TABLES).tolist() == [[1, 30, 1], [5, 60, 5]]
    assert matched.rows(TABLES, 0).tolist() == [[20, 20, 20], [60, 60, 60]]

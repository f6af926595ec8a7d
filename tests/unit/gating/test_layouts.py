"""Each layout finds the parts of a prediction that belong to an image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from headweights import WeightError
from headweights.gating.layouts import Layout, by_block, by_dimension, by_entry, by_layer, first_trained

WEIGHTS = torch.tensor([2.0, 3.0])


def gradient(layout: Layout, shape: tuple[int, ...]) -> Tensor:
    prediction = torch.zeros(shape, requires_grad=True)
    layout(prediction, WEIGHTS, {}).sum().backward()
    assert prediction.grad is not None
    return prediction.grad


def test_tensors() -> None:
    assert gradient(by_dimension(0), (2, 1)).tolist() == [[2], [3]]
    assert gradient(by_dimension(1), (1, 2)).tolist() == [[2, 3]]
    assert gradient(by_layer, (3, 2)).tolist() == [[2, 3]] * 3
    assert gradient(by_entry, (2, 1)).tolist() == [[2], [3]]
    assert gradient(by_block, (6,)).tolist() == [2, 2, 2, 3, 3, 3]


def test_nested_predictions_keep_their_structure_and_what_is_not_trained() -> None:
    trained, constant = torch.zeros(2, requires_grad=True), torch.zeros(5)
    gated = by_layer([(trained,), {"a": trained, "b": constant}, None], WEIGHTS, {})
    assert [type(part) for part in gated] == [tuple, dict, type(None)]
    assert gated[1]["b"] is constant
    (gated[0][0].sum() + gated[1]["a"].sum()).backward()
    assert trained.grad is not None
    assert trained.grad.tolist() == [4, 6]


def test_entries_have_tensors_of_any_shape() -> None:
    first, second = torch.zeros(1, 2, requires_grad=True), torch.zeros(3, requires_grad=True)
    gated = by_entry([[first], second], WEIGHTS, {})
    (gated[0][0].sum() + gated[1].sum()).backward()
    assert first.grad is not None
    assert second.grad is not None
    assert (first.grad.tolist(), second.grad.tolist()) == ([[2, 2]], [3, 3, 3])


def test_rows_that_cannot_be_split_evenly_are_an_error() -> None:
    with pytest.raises(WeightError, match="5 rows cannot be split evenly between 2 images"):
        gradient(by_block, (5,))


def test_first_trained() -> None:
    trained = torch.zeros(2, requires_grad=True)
    assert first_trained([torch.zeros(2), {"a": (None, trained)}]) is trained
    assert first_trained([torch.zeros(2), "a"]) is None

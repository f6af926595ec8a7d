"""What a step does is counted: each operator of both passes, bytes once, and whatever would wait for a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from counting import Counted
from torch import Tensor

from headweights import gate_gradient


def counted(compute: Callable[..., Any], *tensors: Tensor) -> Counted:
    with Counted() as counts:
        compute(*tensors)
    return counts


def test_each_operator_of_a_step_is_counted() -> None:
    def step(number: Tensor) -> None:
        for _ in range(5):
            number = number + 1
        number.exp()

    assert counted(step, torch.zeros(3)).operators == {"aten.add.Tensor": 5, "aten.exp.default": 1}


def test_the_backward_pass_is_counted() -> None:
    scores = torch.zeros(3, requires_grad=True)
    forward = counted(lambda: scores.exp().sum())
    both = counted(lambda: scores.exp().sum().backward())
    assert (both.operators - forward.operators)["aten.mul.Tensor"] == 1  # the gradient of exp
    assert forward.operators.total() < both.operators.total()


def test_the_backward_pass_of_a_gate_is_counted() -> None:
    scores = torch.zeros(2, 3, requires_grad=True)
    stock = counted(lambda: scores.sum().backward())
    gated = counted(lambda: gate_gradient(scores, torch.tensor([0.5, 2.0])).sum().backward())
    assert (gated.operators - stock.operators)["aten.mul.Tensor"] == 1


def test_a_count_repeats() -> None:
    layer, images = torch.nn.Conv2d(3, 4, 3), torch.rand(2, 3, 8, 8)

    def step() -> None:
        layer.zero_grad()
        layer(images).square().mean().backward()

    first, second = counted(step), counted(step)
    assert (first.operators, first.bytes, first.waits) == (second.operators, second.bytes, second.waits)
    assert first.bytes > 0


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda numbers: numbers + 1, 400),
        (lambda numbers: numbers.double(), 800),
        (lambda numbers: torch.cat([numbers, numbers]), 800),
        (lambda numbers: numbers.topk(10), 10 * (4 + 8)),  # values and their indices
        (lambda numbers: numbers.view(10, 10).t()[2:].unbind(), 0),
        (lambda numbers: numbers.add_(1), 0),
        (lambda numbers: numbers.unsqueeze(0).expand(7, 100), 0),
        (lambda numbers: numbers.new_empty(0), 0),
    ],
)
def test_bytes_are_those_of_new_storage(compute: Callable[[Tensor], Any], expected: int) -> None:
    assert counted(compute, torch.zeros(100)).bytes == expected


def assign(numbers: Tensor) -> None:
    numbers[numbers > 0] = torch.zeros(2)


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda numbers: numbers[0].item(), "_local_scalar_dense"),
        (lambda numbers: bool(numbers.any()), "_local_scalar_dense"),
        (lambda numbers: float(numbers.sum()), "_local_scalar_dense"),
        (lambda numbers: numbers.nonzero(), "nonzero"),
        (lambda numbers: torch.where(numbers > 0), "nonzero"),
        (lambda numbers: numbers.masked_select(numbers > 0), "masked_select"),
        (lambda numbers: numbers[numbers > 0], "indexing with a mask"),
        (assign, "indexing with a mask"),
        (lambda numbers: numbers.unique(), "_unique2"),
        (lambda numbers: numbers.repeat_interleave(numbers.long()), "repeat_interleave"),
        (lambda numbers: numbers.cpu(), "cpu()"),
        (lambda numbers: numbers.to("cpu"), "cpu()"),
        (lambda numbers: numbers.to(device="cpu"), "cpu()"),
        (lambda numbers: numbers.tolist(), "tolist()"),
    ],
)
def test_what_waits_for_the_device_is_counted_once(compute: Callable[[Tensor], Any], expected: str) -> None:
    assert counted(compute, torch.tensor([0.0, 1, 2])).waits == Counter({expected: 1})


@pytest.mark.parametrize(
    "compute",
    [
        lambda numbers: numbers[torch.tensor([0, 2])],
        lambda numbers: numbers.masked_fill(numbers > 0, 7),
        lambda numbers: torch.where(numbers > 0, numbers, 0),
        lambda numbers: numbers.repeat_interleave(2),
        lambda numbers: numbers.repeat_interleave(numbers.long(), output_size=3),
        lambda numbers: numbers.to(numbers.device, torch.float64),
        lambda numbers: torch.tensor([0.5, 2]).to(numbers.device, non_blocking=True) * 2,
    ],
)
def test_what_does_not_wait_is_not_counted(compute: Callable[[Tensor], Any]) -> None:
    assert not counted(compute, torch.tensor([0.0, 1, 2])).waits


def test_one_more_item_in_a_step_is_seen() -> None:
    scores = torch.rand(3, requires_grad=True)
    stock = counted(lambda: scores.sum().backward())
    logged = counted(lambda: (loss := scores.sum(), loss.item(), loss.backward()))
    assert logged.waits - stock.waits == {"_local_scalar_dense": 1}

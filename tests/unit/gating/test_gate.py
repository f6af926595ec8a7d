"""The gate is the identity forward and a weight backward, slice by slice."""

from __future__ import annotations

import pytest
import torch

from headweights import gate_gradient
from headweights.gating.gate import gate_gradient_later


@pytest.mark.parametrize(("shape", "dim"), [((3, 4, 2, 2), 0), ((6, 3, 5), 1), ((2, 3), -1), ((3,), 0)])
def test_value_is_kept_and_gradient_is_weighted(shape: tuple[int, ...], dim: int) -> None:
    weights = torch.tensor([0.3, 0.0, 5.0])
    plain = torch.randn(shape, requires_grad=True)
    gated = gate_gradient(plain, weights, dim)
    assert torch.equal(gated, plain)
    gated.pow(2).sum().backward()
    shaped = weights.view([-1 if d == dim % len(shape) else 1 for d in range(len(shape))])
    torch.testing.assert_close(plain.grad, 2 * plain.detach() * shaped)


def test_weights_of_one_change_no_bit() -> None:
    plain = torch.randn(4, 5, requires_grad=True)
    (expected,) = torch.autograd.grad(plain.sin().sum(), plain)
    (actual,) = torch.autograd.grad(gate_gradient(plain, torch.ones(4)).sin().sum(), plain)
    assert torch.equal(actual, expected)


def test_gradient_that_goes_another_way_is_left_alone() -> None:
    features = torch.ones(2, requires_grad=True)
    (gate_gradient(features, torch.zeros(2)).sum() + 3 * features.sum()).backward()
    assert features.grad is not None
    assert features.grad.tolist() == [3, 3]


def test_half_precision_keeps_its_type_and_rounds_once() -> None:
    features = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    (gate_gradient(features, torch.tensor([0.3])) * 3).sum().backward()
    assert features.grad is not None
    assert features.grad.dtype == torch.bfloat16
    assert features.grad.item() == torch.tensor(3 * 0.3).bfloat16().item()


@pytest.mark.parametrize(("shape", "weights", "dim"), [((3, 2), 2, 0), ((3, 2), 3, 1), ((3, 2), 3, 2)])
def test_shapes_that_do_not_fit_are_named(shape: tuple[int, ...], weights: int, dim: int) -> None:
    with pytest.raises(ValueError, match=r"gate_gradient: weights of shape .* do not fit"):
        gate_gradient(torch.zeros(shape), torch.ones(weights), dim)


def test_a_prediction_that_is_modified_in_place_behind_the_gate_is_an_error_and_not_a_lost_weight() -> None:
    gated = gate_gradient(torch.ones(2, 3, requires_grad=True) * 1, torch.tensor([0.3, 5.0]))
    with pytest.raises(RuntimeError, match="inplace"):
        gated.mul_(2)


def test_weights_that_are_known_by_the_way_back() -> None:
    known: list[torch.Tensor] = []
    plain = torch.randn(3, 2, requires_grad=True)
    gated = gate_gradient_later(plain, lambda: known[0])
    assert torch.equal(gated, plain)
    loss = gated.pow(2).sum()
    known.append(torch.tensor([[0.0], [0.3], [5.0]]))
    loss.backward()
    torch.testing.assert_close(plain.grad, 2 * plain.detach() * known[0])


@pytest.mark.parametrize("stride", [(2, 1), (1, 3), (4, 1), (0, 0)])
def test_the_gradient_keeps_its_memory_layout(stride: tuple[int, int]) -> None:
    """Sums that follow run in the same order, to the last bit."""
    plain = torch.randn(3, 2, requires_grad=True)
    strides: list[tuple[int, ...]] = []
    plain.register_hook(lambda gradient: strides.append(gradient.stride()))
    given = torch.ones(12).as_strided((3, 2), stride)
    torch.autograd.backward(gate_gradient_later(plain, lambda: torch.ones(3, 1)), given)
    assert plain.grad is not None
    assert torch.equal(plain.grad, torch.ones(3, 2))
    assert strides == [stride] or 0 in stride

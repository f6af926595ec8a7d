"""The softmax whose background stands for the unlabelled classes too, against the formula and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from headweights.gating.unlabelled import unlabelled_as_background

UNLABELLED = torch.tensor([[False, True, True, False], [False] * 4, [True] * 4])


@pytest.fixture
def scores() -> Tensor:
    return 3 * torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def loss(scores: Tensor) -> Tensor:
    """The loss of a row whose target is the background, from the mapped scores."""
    return functional.cross_entropy(unlabelled_as_background(scores, UNLABELLED), torch.full((3,), 4), reduction="none")


def formula(scores: Tensor) -> Tensor:
    """``-log(p[background] + sum of p[unlabelled])``, written out."""
    p = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
    return -(p[:, 4] + (p[:, :4] * UNLABELLED).sum(dim=1)).log()


def test_the_value_is_that_of_the_formula(scores: Tensor) -> None:
    torch.testing.assert_close(loss(scores), formula(scores), rtol=1e-10, atol=1e-12)


def test_the_gradient_is_that_of_the_formula_by_finite_differences(scores: Tensor) -> None:
    scores.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(scores).sum(), scores)
    step = 1e-5
    for row in range(3):
        for column in range(5):
            change = torch.zeros_like(scores)
            change[row, column] = step
            with torch.no_grad():
                slope = (formula(scores + change) - formula(scores - change)).sum() / (2 * step)
            assert float(gradient[row, column]) == pytest.approx(float(slope), abs=1e-6)


def test_a_row_without_unlabelled_classes_stays_bit_for_bit(scores: Tensor) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        stock = scores.to(dtype).requires_grad_()
        mapped = unlabelled_as_background(stock, UNLABELLED)
        assert mapped.dtype == dtype
        assert torch.equal(mapped[1], stock[1])
        gradients = [
            torch.autograd.grad(functional.cross_entropy(given[1:2], torch.tensor([4])), stock)[0] for given in (mapped, stock)
        ]
        # One without any gradient of its own adds zeros.
        assert torch.equal(gradients[0][1], gradients[1][1])


def test_where_no_class_is_labelled_nothing_is_learnt(scores: Tensor) -> None:
    scores.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(scores)[2], scores)
    assert gradient.abs().max() < 1e-12


def test_the_mask_broadcasts_over_queries(scores: Tensor) -> None:
    layers = scores.expand(2, 7, 3, 5)
    assert torch.equal(unlabelled_as_background(layers, UNLABELLED)[1, 4], unlabelled_as_background(scores, UNLABELLED))

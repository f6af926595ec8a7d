"""The gradient gate: the identity on the way forward, a weight on the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, predictions: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(weights)
        return predictions.view_as(predictions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        (gradient,) = gradients
        # The product is taken in the weights' precision: under AMP the gradient may be bfloat16, where 0.3 is 0.3008.
        return (gradient * weights).to(gradient.dtype), None


class _LateGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, predictions: Tensor, weights: Callable[[], Tensor]) -> Tensor:
        ctx.weights = weights
        return predictions.view_as(predictions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        weighted = (gradient * ctx.weights()).to(gradient.dtype)
        if 0 in gradient.stride():
            return weighted, None
        # In the gradient's own memory layout, gaps and all, or sums that follow would run in another order and round otherwise.
        return torch.empty_strided(gradient.shape, gradient.stride(), dtype=gradient.dtype, device=gradient.device).copy_(
            weighted
        ), None


def gate_gradient_later(predictions: Tensor, weights: Callable[[], Tensor]) -> Tensor:
    """As :func:`gate_gradient`, with weights that are asked for on the way back.

    A loss that first receives the predictions and then decides what each of them is matched to has decided by then.

    Args:
        predictions: Any shape; floating point.
        weights: Gives the weights, of a shape that `predictions` can be multiplied by. Called once a backward pass.
    """
    gated: Tensor = _LateGate.apply(predictions, weights)  # type: ignore[no-untyped-call]
    return gated


def gate_gradient(predictions: Tensor, weights: Tensor, dim: int = 0) -> Tensor:
    """Multiplies the gradient that comes back through `predictions`, slice by slice along one dimension.

    The value is that of `predictions`, bit for bit. Put on a head's predictions on their way into its loss, it weighs each
    image's part of the loss in everything that trains (the head's own parameters, what lies below them), without any knowledge
    of what the loss is; and it cannot disturb a decision that is taken from the loss's value.

    Args:
        predictions: Any shape, with `n` slices along `dim`; floating point.
        weights: Shape (n,), one weight a slice.
        dim: The dimension that counts the slices. Default: 0.

    Raises:
        ValueError: The shapes do not fit.
    """
    if weights.ndim != 1 or not -predictions.ndim <= dim < predictions.ndim or predictions.shape[dim] != weights.shape[0]:
        raise ValueError(
            f"gate_gradient: weights of shape {tuple(weights.shape)} do not fit dimension {dim} "
            f"of predictions of shape {tuple(predictions.shape)}"
        )
    shape = [1] * predictions.ndim
    shape[dim] = -1
    gated: Tensor = _Gate.apply(predictions, weights.view(shape))  # type: ignore[no-untyped-call]
    return gated

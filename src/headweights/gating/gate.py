"""The gradient gate: it passes values on unchanged, and multiplies the gradients that come back by weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, predictions: Tensor, weights: Tensor | None, later: Callable[[], Tensor] | None) -> Tensor:
        ctx.save_for_backward(weights)
        ctx.later = later
        return predictions.view_as(predictions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        (weights,) = ctx.saved_tensors
        # The product is taken in the weights' precision: under AMP the gradient may be bfloat16, where 0.3 is 0.3008.
        weighted = (gradient * (weights if ctx.later is None else ctx.later())).to(gradient.dtype)
        if weighted.stride() != gradient.stride() and 0 not in gradient.stride():
            # Keep the gradient's memory layout, gaps included. Otherwise later sums run in another order and round differently.
            same_layout = torch.empty_strided(gradient.shape, gradient.stride(), dtype=gradient.dtype, device=gradient.device)
            weighted = same_layout.copy_(weighted)
        return weighted, None, None


def gate_gradient(predictions: Tensor, weights: Tensor, dim: int = 0) -> Tensor:
    """Multiplies the gradient that comes back through `predictions`, slice by slice along one dimension.

    The returned values equal `predictions` bit for bit. If a head's predictions pass the gate before they enter its loss, each
    image's part of the loss is weighted for everything that is trained by it: the head's own parameters and the layers below.
    The gate needs to know nothing about the loss, and it cannot affect decisions that depend on the loss's value.

    Args:
        predictions: Any shape, with `n` slices along `dim`; floating point.
        weights: Shape (n,), one weight per slice.
        dim: The dimension of the slices. Default: 0.

    Raises:
        ValueError: The shapes do not fit.
    """
    return SliceGate(weights, dim)(predictions)


class SliceGate:
    """Gates tensors by the same weights, one for each slice along a dimension; see :func:`gate_gradient`.

    The weights are shaped once for all tensors with the same number of dimensions.

    Args:
        weights: Shape (n,).
        dim: The dimension of the slices. Default: 0.
    """

    def __init__(self, weights: Tensor, dim: int = 0) -> None:
        self.weights = weights
        self.dim = dim
        self._by_ndim: dict[int, Tensor] = {}

    def __call__(self, predictions: Tensor) -> Tensor:
        """Gates a tensor. A ValueError says that the shapes do not fit."""
        ndim, dim = predictions.ndim, self.dim
        if self.weights.ndim != 1 or not -ndim <= dim < ndim or predictions.shape[dim] != self.weights.shape[0]:
            raise ValueError(
                f"gate_gradient: weights of shape {tuple(self.weights.shape)} do not fit dimension {dim} "
                f"of predictions of shape {tuple(predictions.shape)}"
            )
        if ndim not in self._by_ndim:
            shape = [1] * ndim
            shape[dim] = -1
            self._by_ndim[ndim] = self.weights.view(shape)
        gated: Tensor = _Gate.apply(predictions, self._by_ndim[ndim], None)  # type: ignore[no-untyped-call]
        return gated


def gate_each_element(predictions: Tensor, weights: Tensor) -> Tensor:
    """Like :func:`gate_gradient`, with weights of any shape that broadcasts to that of the predictions."""
    gated: Tensor = _Gate.apply(predictions, weights, None)  # type: ignore[no-untyped-call]
    return gated


def gate_gradient_later(predictions: Tensor, weights: Callable[[], Tensor]) -> Tensor:
    """Like :func:`gate_gradient`, but asks for the weights in the backward pass.

    This is for losses that receive the predictions first and then match them: by the backward pass the matches are known.

    Args:
        predictions: Any shape; floating point.
        weights: Returns the weights, of a shape that broadcasts to that of `predictions`. Called once per backward pass.
    """
    gated: Tensor = _Gate.apply(predictions, None, weights)  # type: ignore[no-untyped-call]
    return gated


def as_tensor(weights: Sequence[float], like: Tensor) -> Tensor:
    """Returns weights as a float32 tensor on the device of another tensor, without waiting for the device."""
    return torch.tensor(weights, dtype=torch.float32).to(like.device, non_blocking=True)

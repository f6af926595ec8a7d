"""Which of mmdetection's losses carry a weight per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmdet.models import losses
from torch import Tensor, nn

# Losses that multiply each sample's term by its weight and do nothing else with it, so that a weight rides on it exactly.
# Not among them: GHM (counts the samples whose weight is above 0), EQL v2 (takes a weight and ignores it).
_CARRIERS = (
    losses.CrossEntropyLoss,
    losses.FocalLoss,
    losses.QualityFocalLoss,
    losses.SeesawLoss,
    losses.SmoothL1Loss,
    losses.L1Loss,
    losses.BalancedL1Loss,
    losses.MSELoss,
    losses.IoULoss,
    losses.BoundedIoULoss,
    losses.GIoULoss,
    losses.DIoULoss,
    losses.CIoULoss,
    losses.EIoULoss,
)


def carries_weights(loss: nn.Module) -> bool:
    """Whether a loss module multiplies each sample's term by the `weight` it is called with, exactly and only.

    By exact class: a subclass may do as it likes with its weights, and is gated instead.
    """
    return type(loss) in _CARRIERS


@contextmanager
def riding(loss: nn.Module, rows: Tensor | Callable[[Tensor], Tensor] | None) -> Iterator[None]:
    """While inside, multiplies the per-sample `weight` that the loss module is called with.

    This is the last moment before the loss: the head has counted its normaliser by then (``BBoxHead`` counts the label
    weights above 0), so a weight of 0 moves nothing else.

    Args:
        loss: A module called as ``loss(pred, target, weight, ...)``; see :func:`carries_weights`.
        rows: The weight of each sample, shape (number of samples,), or what gives it for the predictions that the loss is called
            with; None leaves the loss as it is.
    """
    if rows is None:
        yield
        return

    def multiply(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        weights = rows(args[0]) if callable(rows) else rows
        if "weight" in kwargs:
            return args, {**kwargs, "weight": _times(kwargs["weight"], weights)}
        return (*args[:2], _times(args[2], weights), *args[3:]), kwargs

    handle = loss.register_forward_pre_hook(multiply, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _times(weight: Tensor, rows: Tensor) -> Tensor:
    """Weights per sample, (n,) or (n, k), times one weight a row, (n,)."""
    return weight * rows.view(-1, *[1] * (weight.ndim - 1))

"""Which of mmdetection's losses carry a weight per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmdet.models import losses
from torch import Tensor, nn

# Losses that multiply each sample's term by its weight and do nothing else with the weight.
# GHM counts the samples whose weight is above 0, and EQL v2 ignores its weight: they are not among them.
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
    """Whether a loss module multiplies each sample's term by the `weight` of the call and does nothing else with it.

    Only exact classes count. A subclass may treat its weights differently, and is gated instead.
    """
    return type(loss) in _CARRIERS


@contextmanager
def multiplied_weight(loss: nn.Module, rows: Tensor | Callable[[Tensor], Tensor] | None) -> Iterator[None]:
    """Multiplies the per-sample `weight` with which a loss module is called, while the block runs.

    At that moment the head has already counted its normaliser (``BBoxHead`` counts the label weights above 0), so a weight of 0
    changes nothing else.

    Args:
        loss: A module called as ``loss(pred, target, weight, ...)``; see :func:`carries_weights`.
        rows: The factor of each sample, shape (samples,), or a function that returns it for the predictions of the call. None
            changes nothing.
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
    """Multiplies weights per sample, (n,) or (n, k), by one factor per sample, (n,)."""
    return weight * rows.view(-1, *[1] * (weight.ndim - 1))

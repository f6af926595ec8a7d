"""Which of mmdetection's losses carry a weight per sample."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from mmdet.models import losses
from torch import Tensor, nn

from headweights.patching import replaced

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


def multiplied_weight(loss: nn.Module, rows: Tensor | Callable[[Tensor], Tensor] | None) -> AbstractContextManager[None]:
    """Multiplies the weight per sample with which a loss module is called, while the block runs.

    At that moment the head has already counted its normaliser (``BBoxHead`` counts the label weights above 0), so a weight of 0
    changes nothing else.

    Args:
        loss: A module called as ``loss(pred, target, weight, ...)``; see :func:`carries_weights`.
        rows: The factor of each sample, shape (samples,), or a function that returns it for the predictions of the call. None
            changes nothing.
    """
    return nullcontext() if rows is None else replaced(loss, "forward", partial(_with_factors, rows))


def _with_factors(
    rows: Tensor | Callable[[Tensor], Tensor], forward: Any, pred: Tensor, target: Any, weight: Tensor, *args: Any, **kwargs: Any
) -> Any:
    factors = rows(pred) if callable(rows) else rows
    if weight.ndim > 1:
        factors = factors.view(-1, *[1] * (weight.ndim - 1))
    return forward(pred, target, weight * factors, *args, **kwargs)

"""Softmax scores where some classes are not labelled."""

from __future__ import annotations

import torch
from torch import Tensor


def unlabelled_as_background(scores: Tensor, unlabelled: Tensor) -> Tensor:
    """Turns the background of softmax scores into "background or any unlabelled class".

    The score of the background becomes the logarithm of the summed exponentials of its own score and those of the unlabelled
    classes, which are masked. A cross entropy whose target is the background then is the unbiased loss of Cermelli et al.,
    "Modeling the Background" (https://arxiv.org/abs/2002.00718), equation 5, in value and gradient.

    Args:
        scores: Shape (..., classes + 1), the background last. Rows without an unlabelled class stay as they are, bit for bit.
        unlabelled: Which classes are not labelled, bool, of a shape that broadcasts to (..., classes).
    """
    classes, background = scores[..., :-1], scores[..., -1:]
    unlabelled = unlabelled.expand(classes.shape)
    none = float("-inf")
    summed = torch.cat([classes.masked_fill(~unlabelled, none), background], dim=-1).logsumexp(dim=-1, keepdim=True)
    background = torch.where(unlabelled.any(dim=-1, keepdim=True), summed.to(scores.dtype), background)
    return torch.cat([classes.masked_fill(unlabelled, none), background], dim=-1)

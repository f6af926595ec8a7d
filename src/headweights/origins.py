"""Where a picture, or a part of a mixed one, comes from, and what weights it brought along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The metainfo entry of a data sample that holds its parts: a tuple of :class:`Part`.
ORIGINS = "loss_origins"

# The fields of a data sample's ``gt_instances``: each object's own weight, float, and, in a mixed picture, the index of the part
# that it came from, integer. Both of shape (number of objects,); what is absent is 1, and the only part.
OBJECT_WEIGHTS = "loss_weights"
OBJECT_ORIGINS = "loss_origins"


@dataclass(frozen=True)
class Origin:
    """One image of one data set, before anything was mixed.

    Args:
        dataset: The data set's name; None where nobody named it.
        weights: The image's own weights, by target: ``''`` for every head, ``'rpn_head'``, ``'roi_head.bbox_head.loss_cls'``.
    """

    dataset: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A part of a picture: its origin, and the share of the picture's area that it takes (the shares of a picture sum to 1)."""

    origin: Origin
    share: float = 1.0

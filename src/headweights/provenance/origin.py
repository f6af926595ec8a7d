"""One image before anything is mixed, a part of a mixed image, and where a data sample keeps both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The metainfo entry of a data sample that holds its parts: a tuple of :class:`Part`.
ORIGINS = "loss_origins"

# Fields of a data sample's ``gt_instances``, of shape (objects,): each object's own weight, float32, absent where all are 1; and
# the index of the part that each object comes from, int64, absent where the image has one part.
OBJECT_WEIGHTS = "loss_weights"
OBJECT_ORIGINS = "loss_origins"


@dataclass(frozen=True)
class Origin:
    """One image of one data set, before anything is mixed.

    Args:
        dataset: The data set's name. None where it has none.
        weights: The image's own weights, by target: ``''`` for every head, ``'rpn_head'``, ``'roi_head.bbox_head.loss_cls'``.
    """

    dataset: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A part of an image.

    Args:
        origin: Where the part comes from.
        share: The part's share of the image's area. The shares of an image sum to 1.
    """

    origin: Origin
    share: float = 1.0

"""What an image knows of its parts: as it goes through a pipeline, and in its data sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

_T = TypeVar("_T")

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


@dataclass(frozen=True)
class Provenance:
    """Where an image comes from.

    Args:
        parts: Its parts. No two have the same origin.
        objects_weighted: Whether some of its objects have a weight of their own.
    """

    parts: tuple[Part, ...] = (Part(Origin()),)
    objects_weighted: bool = False

    def __deepcopy__(self, memo: Any) -> Provenance:
        return self  # immutable; mixing steps copy results again and again

    @property
    def objects_differ(self) -> bool:
        """Whether its objects may differ in where they come from or in what they weigh."""
        return self.objects_weighted or len(self.parts) > 1


def mix_provenance(images: Sequence[Provenance | None], areas: Sequence[float]) -> Provenance:
    """Returns the provenance of an image that is mixed from several.

    Args:
        images: The provenance of each (``results.get(PROVENANCE)``), mixed before or not. None counts as an image of no data set.
        areas: How much of the mixed image each takes, in any unit. All zero means equal areas.
    """
    known = [image or Provenance() for image in images]
    total = float(sum(areas))
    shares = [area / total for area in areas] if total > 0 else [1 / len(known)] * len(known)
    origins = distinct(part.origin for image in known for part in image.parts)
    of_origin = [
        sum(share * part.share for image, share in zip(known, shares) for part in image.parts if part.origin == origin)
        for origin in origins
    ]
    if len(origins) == 1:
        of_origin = [1.0]  # exactly, whatever the sum rounds to
    return Provenance(
        tuple(Part(origin, share) for origin, share in zip(origins, of_origin)),
        objects_weighted=any(image.objects_weighted for image in known),
    )


def distinct(values: Iterable[_T]) -> list[_T]:
    """Returns the values without repetitions, in the order of their first appearance. They need not be hashable."""
    found: list[_T] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found

"""What an image knows of its parts on its way through a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from headweights.provenance.origin import Origin, Part

_T = TypeVar("_T")


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

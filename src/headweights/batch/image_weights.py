"""What one image of a batch weighs, as a whole and object by object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from headweights.gating.gate import as_tensor
from headweights.weights.addresses import Address, most_specific


@dataclass(frozen=True)
class PartWeights:
    """The weights of a part of an image; an image that is not mixed has one part.

    Args:
        dataset: The weights of the data set that the part is from.
        own: The weights of the image that the part is from. They multiply with those of the data set.
        share: The part's share of the image's area.
    """

    dataset: Mapping[Address, float]
    own: Mapping[Address, float]
    share: float = 1.0


class ImageWeights:
    """What an image weighs in each loss.

    As a whole, a mixed image weighs the mean of its parts by area. An object weighs what the part that it is from weighs, times
    its own weight.

    Args:
        name: What errors call the image.
        parts: The weights of its parts.
        objects: The number of its objects.
        own: The objects' own weights, shape (objects,). None where they have none.
        part_of: The index of the part that each object is from, shape (objects,). None where there is one part.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[PartWeights],
        objects: int = 0,
        own: Tensor | None = None,
        part_of: Tensor | None = None,
    ) -> None:
        self.name = name
        self.objects = objects
        self._parts = parts
        self._own = own
        self._part_of = part_of

    @property
    def is_plain(self) -> bool:
        """Whether every object weighs what the image weighs."""
        return self._own is None and self._part_of is None

    @property
    def has_object_weights(self) -> bool:
        """Whether its objects have weights of their own, apart from the parts that they are from."""
        return self._own is not None

    def weight(self, head: str, loss: str) -> float:
        """Returns what the image as a whole weighs in a loss of the head at a path."""
        weights = self._of_parts(head, loss)
        return weights[0] if len(weights) == 1 else sum(part.share * weight for part, weight in zip(self._parts, weights))

    def object_weights(self, head: str, loss: str) -> Tensor | None:
        """Returns what each object weighs, shape (objects,), or None where each weighs what the image weighs."""
        weights = None
        if self._part_of is not None:
            weights = as_tensor(self._of_parts(head, loss), self._part_of)[self._part_of]
        elif self._own is not None:
            weights = as_tensor([self.weight(head, loss)], self._own)
        return weights if weights is None or self._own is None else weights * self._own

    def _of_parts(self, head: str, loss: str) -> list[float]:
        return [most_specific(part.dataset, head, loss, 1.0) * most_specific(part.own, head, loss, 1.0) for part in self._parts]

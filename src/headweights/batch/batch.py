"""What the images of one step weigh, each as a whole and object by object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headweights.gating.gate import as_tensor
from headweights.gating.matching import WeightTables
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


@dataclass(frozen=True, eq=False)
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

    name: str
    parts: Sequence[PartWeights]
    objects: int = 0
    own: Tensor | None = None
    part_of: Tensor | None = None

    @property
    def is_plain(self) -> bool:
        """Whether every object weighs what the image weighs."""
        return self.own is None and self.part_of is None

    def weight(self, head: str, loss: str) -> float:
        """Returns what the image as a whole weighs in a loss of the head at a path."""
        weights = self._of_parts(head, loss)
        return weights[0] if len(weights) == 1 else sum(part.share * weight for part, weight in zip(self.parts, weights))

    def object_weights(self, head: str, loss: str) -> Tensor | None:
        """Returns what each object weighs, shape (objects,), or None where each weighs what the image weighs."""
        weights = None
        if self.part_of is not None:
            weights = as_tensor(self._of_parts(head, loss), self.part_of)[self.part_of]
        elif self.own is not None:
            weights = as_tensor([self.weight(head, loss)], self.own)
        return weights if weights is None or self.own is None else weights * self.own

    def _of_parts(self, head: str, loss: str) -> list[float]:
        return [most_specific(part.dataset, head, loss, 1.0) * most_specific(part.own, head, loss, 1.0) for part in self.parts]


class Batch:
    """The images of one loss computation and what they weigh.

    Args:
        images: The images in the order of the batch.
        scales: A factor on all weights of a loss, by (head path, loss). Default: 1.
    """

    def __init__(self, images: Sequence[ImageWeights], scales: Mapping[tuple[str, str], float] | None = None) -> None:
        self.images = images
        self._scales = scales or {}
        self._weights: dict[tuple[str, str], tuple[float, ...] | None] = {}
        self._tensors: dict[tuple[Sequence[float], torch.device], Tensor] = {}

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_objects(self) -> bool:
        """Whether some object may weigh other than its image: it has a weight of its own, or was mixed in."""
        return not all(image.is_plain for image in self.images)

    def image_weights(self, path: str, loss: str) -> tuple[float, ...] | None:
        """Returns one weight an image for a loss of the head at a path, or None where all of them are 1.

        In an image whose objects have weights of their own, this is the weight of the background.
        """
        if (path, loss) not in self._weights:
            scale = self._scale(path, loss)
            weights = tuple(scale * image.weight(path, loss) for image in self.images)
            self._weights[path, loss] = None if all(weight == 1 for weight in weights) else weights
        return self._weights[path, loss]

    def tensor(self, weights: Sequence[float], like: Tensor) -> Tensor:
        """Returns one weight an image as a tensor, shape (images,), on the device of another tensor.

        Losses and layers that weigh the images alike share it, so weights are seldom copied to the device.

        Args:
            weights: As :meth:`image_weights` returns them.
            like: The other tensor.
        """
        key = weights, like.device
        if key not in self._tensors:
            self._tensors[key] = as_tensor(weights, like)
        return self._tensors[key]

    def weight_tables(self, path: str, loss: str) -> WeightTables | None:
        """Returns the weights of all that a prediction can be matched to, or None where they depend on the image alone.

        Returns:
            A tensor of shape (1 + objects of the image,) for each image, on the objects' device: the weight of whatever matches
            no object, then the weight of each object. An assigner's 1-based ``gt_inds`` index it.
        """
        given = [image.object_weights(path, loss) for image in self.images]
        like = next((weights for weights in given if weights is not None), None)
        if like is None:
            return None
        scale = self._scale(path, loss)
        of_images = self.image_weights(path, loss) or (1.0,) * len(self)
        return [
            torch.cat([as_tensor([of_image], like), scale * weights])
            if weights is not None
            else like.new_full((1 + image.objects,), of_image)
            for image, weights, of_image in zip(self.images, given, of_images)
        ]

    def _scale(self, path: str, loss: str) -> float:
        return self._scales.get((path, loss), 1.0)

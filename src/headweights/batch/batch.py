"""What the images of one step weigh, each as a whole and object by object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from headweights.gating.gate import as_tensor
from headweights.gating.matching import WeightTables
from headweights.weights.addresses import Address, most_specific

_NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True)
class PartWeights:
    """The weights of a part of an image; an image that is not mixed has one part.

    Args:
        dataset: The weights of the data set that the part is from.
        own: The weights of the image that the part is from. They multiply with those of the data set.
        share: The part's share of the image's area.
        unlabelled: The classes that the data set does not label, as indices.
    """

    dataset: Mapping[Address, float]
    own: Mapping[Address, float]
    share: float = 1.0
    unlabelled: frozenset[int] = _NOTHING

    @property
    def has_background(self) -> bool:
        """Whether some weight is about the background alone."""
        return any(address.background for addresses in (self.dataset, self.own) for address in addresses)

    def weight(self, head: str, loss: str, background: bool = False) -> float:
        """Returns the weight in a loss of the head at a path: of its objects, or of the background."""
        return most_specific(self.dataset, head, loss, 1.0, background) * most_specific(self.own, head, loss, 1.0, background)


@dataclass(frozen=True, eq=False)
class ImageWeights:
    """What an image weighs in each loss.

    As a whole, a mixed image weighs the mean of its parts by area, and so does its background. An object weighs what the part
    that it is from weighs, times its own weight. Nobody knows which part a prediction lies in, so a class counts as labelled only
    if every part labels it.

    Args:
        name: What errors call the image.
        parts: The weights of its parts.
        objects: Its objects: any tensor with a row for each. None where it has none.
        own: The objects' own weights, shape (objects,). None where they have none.
        part_of: The index of the part that each object is from, shape (objects,). None where there is one part.
    """

    name: str
    parts: Sequence[PartWeights]
    objects: Tensor | None = None
    own: Tensor | None = None
    part_of: Tensor | None = None

    @property
    def is_plain(self) -> bool:
        """Whether its objects and its background weigh what the image weighs."""
        return self.own is None and self.part_of is None and not any(part.has_background for part in self.parts)

    @property
    def unlabelled(self) -> frozenset[int]:
        """The classes that do not count as labelled, as indices."""
        return _NOTHING.union(*(part.unlabelled for part in self.parts))

    def weight(self, head: str, loss: str, background: bool = False) -> float:
        """Returns what the image as a whole, or its background, weighs in a loss of the head at a path."""
        weights = self._of_parts(head, loss, background)
        return weights[0] if len(weights) == 1 else sum(part.share * weight for part, weight in zip(self.parts, weights))

    def object_weights(self, head: str, loss: str) -> Tensor | None:
        """Returns what each object weighs, shape (objects,), or None where each weighs what the image weighs."""
        weights = None
        if self.part_of is not None:
            weights = as_tensor(self._of_parts(head, loss), self.part_of)[self.part_of]
        elif self.own is not None:
            weights = as_tensor([self.weight(head, loss)], self.own)
        return weights if weights is None or self.own is None else weights * self.own

    def _of_parts(self, head: str, loss: str, background: bool = False) -> list[float]:
        return [part.weight(head, loss, background) for part in self.parts]


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

    @cached_property
    def has_objects(self) -> bool:
        """Whether objects or the background may weigh other than their image: by their own weights, or because it is mixed."""
        return not all(image.is_plain for image in self.images)

    def of(self, images: Sequence[int]) -> Batch:
        """Returns the images at some indices, as a batch."""
        return Batch([self.images[image] for image in images], self._scales)

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
        of_images = [image.weight(path, loss) for image in self.images]
        backgrounds = [image.weight(path, loss, background=True) for image in self.images]
        if all(weights is None for weights in given) and backgrounds == of_images:
            return None
        scale = self._scale(path, loss)
        tables = []
        for image, weights, of_image, background in zip(self.images, given, of_images, backgrounds):
            if weights is None:
                count = len(image.objects) if image.objects is not None else 0
                table = torch.tensor([background, *[of_image] * count], dtype=torch.float32)
                tables.append(scale * (table if image.objects is None else table.to(image.objects.device, non_blocking=True)))
            else:
                tables.append(scale * torch.cat([as_tensor([background], weights), weights]))
        return tables

    @cached_property
    def has_unlabelled(self) -> bool:
        """Whether some class does not count as labelled in some image."""
        return any(image.unlabelled for image in self.images)

    def unlabelled(self, classes: int, like: Tensor) -> Tensor:
        """Returns which classes do not count as labelled, bool of shape (images, classes), on the device of another tensor."""
        rows = [[number in image.unlabelled for number in range(classes)] for image in self.images]
        return torch.tensor(rows, dtype=torch.bool).view(-1, classes).to(like.device, non_blocking=True)

    def class_tables(self, classes: int, like: Tensor) -> WeightTables:
        """Returns what a prediction learns about each class, depending on what it is matched to.

        Args:
            classes: The number of classes.
            like: A tensor on the device of the predictions.

        Returns:
            A tensor of shape (1 + objects of the image, classes) for each image: for whatever matches no object, 0 for the
            classes that do not count as labelled and 1 for the others; for each object, 1 for all.
        """
        labelled = (~self.unlabelled(classes, like)).float()
        counts = [0 if image.objects is None else len(image.objects) for image in self.images]
        return [torch.cat([row[None], row.new_ones(count, classes)]) for row, count in zip(labelled, counts)]

    def _scale(self, path: str, loss: str) -> float:
        return self._scales.get((path, loss), 1.0)

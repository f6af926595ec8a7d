"""What all images of one step weigh, by loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from headweights.batch.image_weights import ImageWeights
from headweights.gating.gate import as_tensor
from headweights.gating.matching import WeightTables


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

"""Reads from the label dicts of a batch what its images and objects weigh."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from headweights.batch.batch import Batch, ImageWeights, PartWeights
from headweights.batch.in_force import InForce
from headweights.errors import WeightError
from headweights.images.image import checked_weights
from headweights.transformers.weighting.models import ModelLosses
from headweights.weights.addresses import EVERY_HEAD, Address

# Entries of a label dict: the image's own weight (a number, or numbers by target), its objects' own weights (a tensor, one number
# for each object), and the name of its data set.
IMAGE_WEIGHT, OBJECT_WEIGHTS, DATASET = "loss_weight", "loss_weights", "dataset"
CLASS_LABELS = "class_labels"
_NEAR_MISS = 0.8
_HINT = (
    f" LossWeights.mix writes it into the label dict of an item, as label[{DATASET!r}]. If your collator makes the label dicts, "
    "give the Trainer weights.collate(collator), or write the name yourself."
)


class LabelledBatch(Batch):
    """The images of one loss computation of a model.

    Args:
        losses: The losses of the model.
        weights: What the data sets weigh now.
        labels: A dict for each image.
        objects: The number of objects of each image.

    Raises:
        WeightError: An entry is misspelt or invalid, or an image does not name its data set although data sets are weighed.
    """

    def __init__(
        self, losses: ModelLosses, weights: InForce, labels: Sequence[Mapping[str, Any]], objects: Sequence[int]
    ) -> None:
        self.losses = losses
        self.datasets = [label.get(DATASET) for label in labels]
        super().__init__([_image(losses, weights, *image) for image in zip(range(len(labels)), labels, objects)], weights.scales)
        # The criteria that are computing losses of this batch, and whether one has.
        self.computing: list[Any] = []
        self.is_computed = False
        # Is called with each call of a loss method and what it returned, and returns what the criterion gets instead.
        self.listener: Callable[[Any, Any], Any] | None = None


def _image(losses: ModelLosses, weights: InForce, index: int, label: Mapping[str, Any], objects: int) -> ImageWeights:
    name = f"{index} of the batch"
    for entry in label:
        _refuse_near_miss(entry)
    try:
        of_dataset = weights.weights_of(label.get(DATASET))
    except WeightError as error:
        raise WeightError(f"image {name} {error}{_HINT if label.get(DATASET) is None else ''}") from None
    own: dict[Address, float] = {}
    if IMAGE_WEIGHT in label:
        where = f"labels[{index}][{IMAGE_WEIGHT!r}]"
        given = checked_weights(label[IMAGE_WEIGHT], where)
        try:
            own = {losses.book.at(target): weight for target, weight in given.items()}
        except WeightError as error:
            raise WeightError(f"{where}: {error}") from None
        refuse_unweighted(losses, own.get(EVERY_HEAD, 1.0), where)
    of_objects = label.get(OBJECT_WEIGHTS)
    if of_objects is not None:
        of_objects = _checked(of_objects, objects, f"labels[{index}][{OBJECT_WEIGHTS!r}]")
    return ImageWeights(name, [PartWeights(of_dataset, own)], objects, of_objects)


def refuse_unweighted(losses: ModelLosses, everywhere: object, where: str) -> None:
    """Raises an error if a weight holds for every loss of a model and one of them cannot be weighted.

    Args:
        losses: The losses.
        everywhere: The weight.
        where: The subject of the error's sentence.
    """
    if everywhere == 1:
        return
    for loss, reason in losses.unweighted.items():
        raise WeightError(
            f"{where} is {everywhere} for every loss, and {loss} cannot be weighted: {reason}. Name the losses that you mean: "
            f"{', '.join(losses.book.weighted)}."
        )


def _checked(weights: Any, objects: int, where: str) -> Tensor:
    if not isinstance(weights, Tensor) or weights.is_complex() or weights.shape != (objects,):
        given = f"a {weights.dtype} tensor of shape {tuple(weights.shape)}" if isinstance(weights, Tensor) else repr(weights)
        raise WeightError(f"{where} is {given}; it must be a tensor with one number for each of the {objects} objects.")
    valid = (weights >= 0).logical_and(weights.isfinite()).all()
    message = f"{where} holds a weight that is negative, infinite or NaN."
    if weights.device.type == "cpu":
        if not valid:
            raise WeightError(f"{message[:-1]}: {weights.tolist()}.")
    else:
        torch._assert_async(valid, message)  # an error that does not make the host wait for the device
    return weights.float()


@lru_cache(maxsize=1000)
def _refuse_near_miss(entry: str) -> None:
    """Raises an error about an entry that nearly spells one of ours."""
    known = (IMAGE_WEIGHT, OBJECT_WEIGHTS)
    near = difflib.get_close_matches(entry.lower(), known, n=1, cutoff=_NEAR_MISS) if isinstance(entry, str) else []
    if near and entry not in known:
        raise WeightError(f"labels have an entry {entry!r}, which nothing reads. Nearest valid: {near[0]!r}.")

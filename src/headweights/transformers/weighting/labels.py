"""Reads from the label dicts of a batch what its images and objects weigh."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from headweights.batch.batch import Batch, ImageWeights
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
        objects: The classes of the objects of each image, shape (objects,).

    Raises:
        WeightError: An entry is misspelt or invalid, or an image does not name its data set although data sets are weighed.
    """

    def __init__(
        self, losses: ModelLosses, weights: InForce, labels: Sequence[Mapping[str, Any]], objects: Sequence[Tensor]
    ) -> None:
        self.losses = losses
        self.datasets = [label.get(DATASET) for label in labels]
        super().__init__([_image(losses, weights, *image) for image in zip(range(len(labels)), labels, objects)], weights.scales)
        # The criteria that are computing losses of this batch, and whether one has.
        self.computing: list[Any] = []
        self.is_computed = False
        # Is called with each call of a loss method and what it returned, and returns what the criterion gets instead.
        self.listener: Callable[[Any, Any], Any] | None = None


def _image(losses: ModelLosses, weights: InForce, index: int, label: Mapping[str, Any], objects: Tensor) -> ImageWeights:
    name = f"{index} of the batch"
    for entry in label:
        _refuse_near_miss(entry)
    try:
        part = weights.part(label.get(DATASET), {})
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
        of_objects = _checked(of_objects, len(objects), f"labels[{index}][{OBJECT_WEIGHTS!r}]")
    if part.unlabelled:
        _refuse_unlabelled(objects, part.unlabelled, f"labels[{index}][{CLASS_LABELS!r}], of data set {label[DATASET]!r},")
    return ImageWeights(name, [replace(part, own=own)], objects, of_objects)


def _refuse_unlabelled(objects: Tensor, unlabelled: frozenset[int], where: str) -> None:
    """Raises an error if an object is of a class that its data set does not label."""
    classes = torch.tensor(sorted(unlabelled)).to(objects.device, non_blocking=True)
    valid = ~torch.isin(objects, classes).any()
    message = f"{where} holds a class that the data set does not label, as LossWeights' labelled says"
    _require(valid, f"{message}.", lambda: f"{message}: {sorted({*objects.tolist()} & unlabelled)}.")


def _require(valid: Tensor, message: str, details: Callable[[], str]) -> None:
    """Raises an error where something is not valid; on another device than the CPU, without making the host wait for it."""
    if valid.device.type != "cpu":
        torch._assert_async(valid, message)
    elif not valid:
        raise WeightError(details())


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
    _require(valid, message, lambda: f"{message[:-1]}: {weights.tolist()}.")
    return weights.float()


@lru_cache(maxsize=1000)
def _refuse_near_miss(entry: str) -> None:
    """Raises an error about an entry that nearly spells one of ours."""
    known = (IMAGE_WEIGHT, OBJECT_WEIGHTS)
    near = difflib.get_close_matches(entry.lower(), known, n=1, cutoff=_NEAR_MISS) if isinstance(entry, str) else []
    if near and entry not in known:
        raise WeightError(f"labels have an entry {entry!r}, which nothing reads. Nearest valid: {near[0]!r}.")

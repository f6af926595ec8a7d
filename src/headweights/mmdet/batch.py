"""The seam: whose images are in this batch, and in which model.

mmdetection's RoI heads hand their bbox heads boxes and features and no word of the images. So the batch is published here,
in a context variable, around every loss of a detector or a RoI head that is given data samples, and a weighted head asks for
its images' weights. The outermost publisher is the model whose paths the addresses speak of; the innermost one has the images
(TridentNet repeats the batch, SoftTeacher splits it by branch).

Publishing is done by the classes: :func:`publishes_batch` wraps their loss methods. It is applied to every subclass of
mmdetection's base detector and base RoI head, those that are defined later included; a class of another descent takes it as a
decorator.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.models.mot import BaseMOTModel
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.structures import TrackDataSample
from torch import Tensor, nn

from headweights.addresses import Address, most_specific
from headweights.errors import WeightError
from headweights.mmdet.model import NO_OBJECTS, ModelHeads, heads_of, reason_no_objects
from headweights.mmdet.subclasses import to_every_subclass
from headweights.origins import OBJECT_ORIGINS, OBJECT_WEIGHTS, ORIGINS, Origin, Part
from headweights.weights import checked_weight

_SAMPLES = "data_samples"

_current: ContextVar[Batch | None] = ContextVar("headweights_batch", default=None)
_all_one: ContextVar[bool] = ContextVar("headweights_all_one", default=False)


class Picture:
    """One image of a batch: the weights that were given for it and for each of the parts it was mixed from.

    Two things are said of an image and they multiply: what its data set weighs (in the hook's table; a field in the metainfo
    wins over the table's entry for the same address), and what the image itself weighs. A mixed picture weighs, as a whole, the
    mean of its parts by area; its objects weigh what the parts weigh that they came from, times their own weights.

    Args:
        model: The model whose heads compute the loss.
        sample: The data sample.

    Raises:
        WeightError: The metainfo holds a weight that no head of the model reads, or one that is no weight; the picture does not
            say which data set it is of where a hook weighs by data set.
    """

    def __init__(self, model: ModelHeads, sample: Any) -> None:
        if isinstance(sample, TrackDataSample):
            sample = sample.get_key_frames()[0]
        fields = given_weights(model, sample)
        parts: Sequence[Part] = sample.get(ORIGINS) or (Part(Origin()),)
        self._shares = [part.share for part in parts]
        try:
            self._of_datasets = [{**model.weights_of(part.origin.dataset), **fields} for part in parts]
        except WeightError as error:
            raise WeightError(f"image {_named(sample)} {error}") from None
        self._own = [{model.book.at(target): weight for target, weight in part.origin.weights.items()} for part in parts]
        objects = sample.get("gt_instances")
        self._object_weights: Tensor | None = objects.get(OBJECT_WEIGHTS) if objects is not None else None
        self._object_parts: Tensor | None = objects.get(OBJECT_ORIGINS) if objects is not None else None
        self.objects: int = len(objects) if objects is not None else 0
        self.name = _named(sample)

    @property
    def is_plain(self) -> bool:
        """Whether every object of the picture weighs what the picture weighs."""
        return self._object_weights is None and self._object_parts is None

    @property
    def weighs_objects(self) -> bool:
        """Whether its objects were given weights of their own, beyond those of the parts that they came from."""
        return self._object_weights is not None

    def weight(self, head: str, loss: str) -> float:
        """What the picture as a whole weighs in a loss of the head at a path."""
        weights = self._of_parts(head, loss)
        return weights[0] if len(weights) == 1 else sum(share * weight for share, weight in zip(self._shares, weights))

    def object_weights(self, head: str, loss: str) -> Tensor | None:
        """What each object weighs in a loss of the head at a path, shape (objects,); None where all weigh as the picture."""
        weights = None
        if self._object_parts is not None:
            weights = as_tensor(self._of_parts(head, loss), self._object_parts)[self._object_parts]
        elif self._object_weights is not None:
            weights = as_tensor([self.weight(head, loss)], self._object_weights)
        return weights if weights is None or self._object_weights is None else weights * self._object_weights

    def _of_parts(self, head: str, loss: str) -> list[float]:
        return [
            most_specific(given, head, loss) * most_specific(own, head, loss) for given, own in zip(self._of_datasets, self._own)
        ]


class Batch:
    """The images of one loss computation: their weights, by head and loss.

    Args:
        model: The model whose heads compute the loss.
        data_samples: The images, in the order of the batch.

    Raises:
        WeightError: see :class:`Picture`.
    """

    def __init__(self, model: ModelHeads, data_samples: Sequence[Any]) -> None:
        self.model = model
        self.pictures = [Picture(model, sample) for sample in data_samples]
        self._weights: dict[tuple[str, str], tuple[float, ...] | None] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def has_objects(self) -> bool:
        """Whether some object of the batch may weigh other than its picture: it has a weight of its own or was mixed in."""
        return not all(picture.is_plain for picture in self.pictures)

    def weights(self, head: nn.Module, loss: str, by_roi_head: bool = False) -> tuple[float, ...] | None:
        """One weight an image for a loss of a weighted head; None where all of them are 1, so that nothing needs doing.

        In a picture whose objects have weights of their own this is the weight of everything else, the background.
        A head that its RoI head weighs has nothing to do itself: the weights are the RoI head's to ask for.
        """
        path = self.model.path_of(head)
        if _all_one.get() or (path in self.model.weighed_by_roi_head) != by_roi_head:
            return None
        return self.weights_at(path, loss)

    def weights_at(self, path: str, loss: str) -> tuple[float, ...] | None:
        """One weight an image for a loss of the head at a path; None where all of them are 1."""
        if (path, loss) not in self._weights:
            scale = self.model.scale_of(path, loss)
            weights = tuple(scale * picture.weight(path, loss) for picture in self.pictures)
            self._weights[path, loss] = None if all(weight == 1 for weight in weights) else weights
        return self._weights[path, loss]

    def object_weights(self, head: nn.Module, loss: str, by_roi_head: bool = False) -> list[Tensor] | None:
        """The weight of each object for a loss of a weighted head; None where every object weighs what its picture weighs.

        They are what the objects' terms are multiplied by, *instead of* the picture's weight.

        A head that cannot tell its objects apart weighs a mixed picture as a whole, by area; so does one that has no objects, a
        semantic head, whatever weights the objects have.

        Returns:
            A tensor of shape (objects of the image,) for each image, in the order of its ``gt_instances`` and on their device.

        Raises:
            WeightError: Objects have weights of their own, and the head cannot tell its objects apart.
        """
        path = self.model.path_of(head)
        if _all_one.get() or not self.has_objects or (path in self.model.weighed_by_roi_head) != by_roi_head:
            return None
        reason = reason_no_objects(head)
        if reason is not None:
            weighed = [picture.name for picture in self.pictures if picture.weighs_objects]
            if not weighed or reason == NO_OBJECTS:
                return None
            raise WeightError(
                f"{path} ({type(head).__name__}) cannot give each object a weight of its own, as gt_instances.{OBJECT_WEIGHTS} "
                f"of image {weighed[0]} asks: {reason}. Leave the objects' weights out: "
                "objects=False, of LossWeightHook or LoadLossWeights."
            )
        scale = self.model.scale_of(path, loss)
        given = [picture.object_weights(path, loss) for picture in self.pictures]
        like = next(weights for weights in given if weights is not None)
        return [
            scale * weights if weights is not None else like.new_full((picture.objects,), scale * picture.weight(path, loss))
            for weights, picture in zip(given, self.pictures)
        ]

    def tables(self, head: nn.Module, loss: str, by_roi_head: bool = False) -> list[Tensor] | None:
        """What to multiply a loss's terms by, by what a prediction is matched to; None where it depends on the image alone.

        Returns:
            A tensor of shape (1 + objects of the image,) for each image: first the weight of whatever is matched to no object,
            then each object's. So an assigner's 1-based ``gt_inds`` look it up.

        Raises:
            WeightError: see :meth:`object_weights`.
        """
        objects = self.object_weights(head, loss, by_roi_head)
        if objects is None:
            return None
        pictures = self.weights(head, loss, by_roi_head) or (1.0,) * len(self)
        return [torch.cat([as_tensor([picture], own), own]) for picture, own in zip(pictures, objects)]


def given_weights(model: ModelHeads, sample: Any) -> dict[Address, float]:
    """The weights in one data sample's metainfo, checked against the model and as numbers."""
    given = {}
    for name in sample.metainfo_keys():
        address = model.find(name) if name != ORIGINS else None
        if address is not None:
            given[address] = checked_weight(sample.get(name), where=f"metainfo field {name!r} of image {_named(sample)}")
    return given


def _named(sample: Any) -> str:
    return repr(sample.get("img_path", sample.get("img_id", "(unnamed)")))


@contextmanager
def publish_batch(module: nn.Module, data_samples: Any) -> Iterator[None]:
    """Tells the weighted heads inside whose images they see.

    Args:
        module: What computes the loss. The outermost one is the model that the addresses' paths start from.
        data_samples: The batch: a list of data samples, or a dict of such lists (semi-supervised branches), of which
            each branch is published by the loss that it goes to.

    Raises:
        WeightError: see :class:`Batch`.
    """
    outer = _current.get()
    model = heads_of(module) if outer is None else outer.model
    if isinstance(data_samples, Mapping):
        for branch in data_samples.values():
            Batch(model, branch)  # checked now, published branch by branch
        batch = Batch(model, [])
    else:
        batch = Batch(model, data_samples)
    token = _current.set(batch)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def all_one() -> Iterator[None]:
    """While inside, every image and object weighs 1, whatever was given: the losses are the stock heads'."""
    token = _all_one.set(True)
    try:
        yield
    finally:
        _all_one.reset(token)


def published() -> Batch | None:
    """The batch that is published here and now; None outside of a detector's loss."""
    return _current.get()


def current_batch(head: nn.Module, images: int | None = None) -> Batch:
    """The batch that a weighted head computes its loss on.

    Args:
        head: The weighted head that asks.
        images: How many images the head sees, where it knows.

    Raises:
        WeightError: No batch is published, or one of another size.
    """
    batch = _current.get()
    name = type(head).__name__
    if batch is None:
        raise WeightError(
            f"{name} computes a loss outside of its detector's loss, so it cannot know whose images it sees. Call the "
            "detector's loss; or put the decorator @headweights.mmdet.publishes_batch on the class that calls the head "
            "(any class with a loss method that takes batch_data_samples)."
        )
    if images is not None and images != len(batch):
        raise WeightError(
            f"{name} sees {images} images, but the batch that was published has {len(batch)}. The class that calls the head "
            "changed the batch on the way: put the decorator @headweights.mmdet.publishes_batch on it and give its loss "
            "method the images as batch_data_samples."
        )
    return batch


def as_tensor(weights: Sequence[float], like: Tensor) -> Tensor:
    """Weights on a tensor's device, as float32, without waiting for the device."""
    return torch.tensor(weights, dtype=torch.float32).to(like.device, non_blocking=True)


_Class = TypeVar("_Class", bound=type)


def publishes_batch(cls: _Class) -> _Class:
    """Makes a class publish the batch around its own loss methods (decorator; harmless where it is done already).

    A loss method is one whose name contains ``loss`` and that has a parameter whose name ends in ``data_samples``.
    """
    for name, method in list(vars(cls).items()):
        if "loss" in name and inspect.isfunction(method) and not hasattr(method, "_publishes_batch"):
            parameters = list(inspect.signature(method).parameters)
            samples = [parameter for parameter in parameters if parameter.endswith(_SAMPLES)]
            if samples and parameters[0] == "self":
                setattr(cls, name, _publishing(method, samples[0], parameters.index(samples[0])))
    return cls


def _publishing(method: Callable[..., Any], parameter: str, position: int) -> Callable[..., Any]:
    @functools.wraps(method)
    def publishing(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        data_samples = kwargs[parameter] if parameter in kwargs else args[position - 1] if position <= len(args) else None
        if data_samples is None:
            return method(self, *args, **kwargs)
        with publish_batch(self, data_samples):
            return method(self, *args, **kwargs)

    publishing._publishes_batch = True  # type: ignore[attr-defined]
    return publishing


def publishes(cls: type) -> bool:
    """Whether a class publishes the batch around some loss method of its own or inherited."""
    return any(hasattr(method, "_publishes_batch") for ancestor in cls.__mro__ for method in vars(ancestor).values())


def publish_everywhere() -> None:
    """Makes every detector and RoI head of mmdetection publish its batch; called once, on import."""
    for base in (BaseDetector, BaseRoIHead, BaseMOTModel):
        to_every_subclass(base, publishes_batch)

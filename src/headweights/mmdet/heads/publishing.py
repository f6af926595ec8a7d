"""Tells the weighted heads which images are in the batch.

mmdetection's RoI heads give their bbox heads boxes and features, but no metainfo. So every loss of a detector or RoI head that
receives data samples publishes them in a context variable, where a weighted head finds its images' weights. The outermost
publisher is the model at which the paths of addresses start. The innermost one knows the images: TridentNet repeats the batch,
and SoftTeacher splits it by branch.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

from mmdet.structures import TrackDataSample
from torch import nn

from headweights.batch.batch import Batch, ImageWeights
from headweights.batch.current import published, publishing, weighs
from headweights.batch.in_force import InForce, in_force
from headweights.errors import WeightError
from headweights.gating.matching import WeightTables
from headweights.mmdet.heads.model_heads import ModelHeads, heads_of
from headweights.mmdet.heads.weighted_head import NO_OBJECTS, reason_no_objects
from headweights.provenance.origin import OBJECT_ORIGINS, OBJECT_WEIGHTS, ORIGINS, Origin, Part
from headweights.weights.weight import checked_weight

_SAMPLES = "data_samples"
_MARK = "_publishes_batch"

_Class = TypeVar("_Class", bound=type)


class DetectorBatch(Batch):
    """The images of one loss computation of a detector.

    Args:
        model: The heads of the model that computes the loss.
        weights: What the data sets weigh now.
        data_samples: The images, in the order of the batch.

    Raises:
        WeightError: The metainfo holds a weight that no head of the model reads, or an invalid one; or an image does not name its
            data set although data sets are weighed.
    """

    def __init__(self, model: ModelHeads, weights: InForce, data_samples: Sequence[Any]) -> None:
        self.model = model
        self.in_force = weights
        super().__init__([self._image(sample) for sample in data_samples], weights.scales)

    def weights(self, head: nn.Module, loss: str, by_roi_head: bool = False) -> tuple[float, ...] | None:
        """Returns one weight an image for a loss of a weighted head, or None where there is nothing to do.

        Args:
            head: The weighted head.
            loss: The loss, or ``WHOLE``.
            by_roi_head: Whether the head's RoI head asks, which then weighs it.
        """
        path = self._weighed_path(head, by_roi_head)
        return None if path is None else self.image_weights(path, loss)

    def tables(self, head: nn.Module, loss: str, by_roi_head: bool = False) -> WeightTables | None:
        """Returns the weight tables for a loss of a weighted head, or None where the weights depend on the images alone.

        A head that cannot tell its objects apart weighs a mixed image as a whole, by area. So does a semantic head, which has no
        objects, whatever weights the objects have.

        Raises:
            WeightError: Objects have weights of their own, and the head cannot tell its objects apart.
        """
        path = self._weighed_path(head, by_roi_head)
        if path is None or not self.has_objects:
            return None
        reason = reason_no_objects(head)
        if reason is None:
            return self.weight_tables(path, loss)
        weighted = [image.name for image in self.images if image.own is not None]
        if not weighted or reason == NO_OBJECTS:
            return None
        raise WeightError(
            f"{path} ({type(head).__name__}) cannot give each object a weight of its own, but image {weighted[0]} has "
            f"gt_instances.{OBJECT_WEIGHTS}: {reason}. Leave the objects' weights out: objects=False, of LossWeightHook or "
            "LoadLossWeights."
        )

    def _weighed_path(self, head: nn.Module, by_roi_head: bool) -> str | None:
        """The path of a head, where weights count and this is who weighs the head."""
        path = self.model.path_of(head)
        return path if weighs() and (path in self.model.weighed_by_roi_head) == by_roi_head else None

    def _image(self, sample: Any) -> ImageWeights:
        """What one data sample weighs.

        The weights of a data set and of an image multiply. A weight in the metainfo counts as one of the data set, and wins over
        the one in force at the same address.
        """
        if isinstance(sample, TrackDataSample):
            sample = sample.get_key_frames()[0]
        name = repr(sample.get("img_path", sample.get("img_id", "(unnamed)")))
        fields = {
            address: checked_weight(sample.get(field), where=f"metainfo field {field!r} of image {name}")
            for field in sample.metainfo_keys()
            if field != ORIGINS and (address := self.model.find(field)) is not None
        }
        origins: Sequence[Part] = sample.get(ORIGINS) or (Part(Origin()),)
        try:
            parts = [
                replace(of_part, dataset={**of_part.dataset, **fields})
                for part in origins
                for own in [{self.model.book.at(target): weight for target, weight in part.origin.weights.items()}]
                for of_part in [self.in_force.part(part.origin.dataset, own, part.share)]
            ]
        except WeightError as error:
            raise WeightError(f"image {name} {error}") from None
        objects = sample.get("gt_instances")
        if objects is None:
            return ImageWeights(name, parts)
        labels = objects.get("labels")
        return ImageWeights(name, parts, labels, objects.get(OBJECT_WEIGHTS), objects.get(OBJECT_ORIGINS))


def batch_of(model: nn.Module, data_samples: Sequence[Any]) -> DetectorBatch:
    """Returns the batch of a model outside of its loss computation."""
    return DetectorBatch(heads_of(model), in_force(model), data_samples)


@contextmanager
def publish_batch(module: nn.Module, data_samples: Any) -> Iterator[None]:
    """Tells the weighted heads which images they see, while the block runs.

    Args:
        module: What computes the loss. The outermost one is the model at which the paths of addresses start.
        data_samples: The batch: a list of data samples, or a dict of such lists (semi-supervised branches). Of a dict, each
            branch is published by the loss that receives it.

    Raises:
        WeightError: See :class:`DetectorBatch`.
    """
    outer: DetectorBatch | None = published()
    model, weights = (heads_of(module), in_force(module)) if outer is None else (outer.model, outer.in_force)
    if isinstance(data_samples, Mapping):
        for branch in data_samples.values():
            DetectorBatch(model, weights, branch)  # checks it
        data_samples = []
    with publishing(DetectorBatch(model, weights, data_samples)):
        yield


def current_batch(head: nn.Module, images: int | None = None) -> DetectorBatch:
    """Returns the batch on which a weighted head computes its loss.

    Args:
        head: The weighted head.
        images: The number of images that the head sees, where it knows.

    Raises:
        WeightError: No batch is published, or one of another size.
    """
    batch: DetectorBatch | None = published()
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
            "changed the batch in between: put the decorator @headweights.mmdet.publishes_batch on it and give its loss "
            "method the images as batch_data_samples."
        )
    return batch


def publishes_batch(cls: _Class) -> _Class:
    """Makes a class publish the batch around its own loss methods. A decorator; applying it twice does no harm.

    A loss method has ``loss`` in its name and a parameter whose name ends in ``data_samples``.
    """
    for name, method in publishing_methods(cls):
        setattr(cls, name, method)
    return cls


def publishing_methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yields a class's own loss methods that do not publish the batch yet, by name, as methods that do."""
    for name, method in list(vars(cls).items()):
        if "loss" in name and inspect.isfunction(method) and not hasattr(method, _MARK):
            parameters = list(inspect.signature(method).parameters)
            samples = next((parameter for parameter in parameters if parameter.endswith(_SAMPLES)), None)
            if samples and parameters[0] == "self":
                yield name, _publishing(method, samples)


def _publishing(method: Callable[..., Any], parameter: str) -> Callable[..., Any]:
    signature = inspect.signature(method)

    @functools.wraps(method)
    def publishing(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        data_samples = signature.bind_partial(self, *args, **kwargs).arguments.get(parameter)
        with nullcontext() if data_samples is None else publish_batch(self, data_samples):
            return method(self, *args, **kwargs)

    setattr(publishing, _MARK, True)
    return publishing


def publishes(cls: type) -> bool:
    """Whether a class publishes the batch around a loss method, its own or inherited."""
    return any(hasattr(method, _MARK) for ancestor in cls.__mro__ for method in vars(ancestor).values())

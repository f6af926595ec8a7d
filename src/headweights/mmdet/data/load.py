"""The pipeline step that loads the weights of an image and of its objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from numpy.typing import NDArray

from headweights.errors import WeightError
from headweights.images.image import ImageInfo, checked_weights
from headweights.images.lookup import table_of_images
from headweights.images.names import NamedWeights
from headweights.images.sources import read
from headweights.images.table import ImageTable
from headweights.mmdet.data.annotations import OBJECTS_WEIGHTED
from headweights.mmdet.data.trace import LABELS, PROVENANCE, trace
from headweights.provenance.origin import Origin, Part, Provenance
from headweights.weights.addresses import LOSS_WEIGHT
from headweights.weights.weight import checked_weight


@TRANSFORMS.register_module()
class LoadLossWeights(BaseTransform):
    """Loads the weights of an image and of its objects. Put it right after ``LoadAnnotations``.

    .. code:: python

        dict(type='LoadLossWeights', dataset='rendered', images='quality.csv')

    The weights then follow the image and each object through cropping, filtering and mixing into the data sample: metainfo
    ``loss_origins``, and ``gt_instances.loss_weights`` of shape (objects,) where objects have weights.

    The weights are the ``loss_weight`` of the image and its objects in the annotation file. `images` adds weights of images, and
    wins where both give one for an address.

    Args:
        dataset: The data set's name. Default: None, so that no weight of a table by data set applies.
        images: Weights by image: the path of a CSV or JSON file, a dict, a function or ``'module:function'``
            (:func:`headweights.images.sources.read`); names that no image has are no error. Or an
            :class:`~headweights.images.table.ImageTable` of the data set, looked up by ``sample_idx``. Default: None.
        objects: Whether to load objects' weights. Default: True.

    Raises:
        WeightError: When it is built: `images` is malformed. On an image: a weight is no number >= 0, or the step stands before
            ``LoadAnnotations``, or twice.
    """

    def __init__(self, dataset: str | None = None, images: Any = None, objects: bool = True) -> None:
        me = type(self).__name__
        if dataset is not None and (not isinstance(dataset, str) or not dataset):
            raise WeightError(f"{me}: dataset is {dataset!r}; it must be the data set's name.")
        if not isinstance(objects, bool):
            raise WeightError(f"{me}: objects is {objects!r}; it must be True or False.")
        self.dataset = dataset
        self.objects = objects
        self.images = images if images is None or isinstance(images, ImageTable) else read(images, dataset)[1]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Loads the weights of ``results['img_path']``."""
        if PROVENANCE in results:
            raise WeightError(f"{self._of(results)} has its weights already: its pipeline has LoadLossWeights twice.")
        origin = Origin(self.dataset, self._image_weights(results))
        weights = self._object_weights(results) if self.objects else None
        results[PROVENANCE] = Provenance((Part(origin),), weights is not None)
        trace(results, weights)
        return results

    def _image_weights(self, results: Mapping[str, Any]) -> Mapping[str, float]:
        image = _image(results, self._of(results))
        if self.images is None:
            return image.weights
        if isinstance(self.images, ImageTable):
            if "sample_idx" not in results or "frame_id" in results:
                raise WeightError(
                    f"{self._of(results)}: the table of weights is indexed by the image's number in the data set (sample_idx), "
                    "which is missing here. Give images= as a file or dict by file name."
                )
            return {**image.weights, **self.images.weights(results["sample_idx"])}
        return {**image.weights, **self.images.of(image)}

    def _object_weights(self, results: Mapping[str, Any]) -> NDArray[np.float32] | None:
        instances = results.get("instances") or ()
        given = [LOSS_WEIGHT in instance for instance in instances]
        if results.get(OBJECTS_WEIGHTED) and not all(given):
            raise WeightError(
                f"{self._of(results)}: a step before LoadLossWeights rebuilt the objects without the loss weights of the "
                "annotation file, as InstaBoost does. Leave that step out, or load no objects' weights (objects=False)."
            )
        if not any(given):
            return None
        of_object = f"{self._of(results)}: {LOSS_WEIGHT} of object"
        weights = [checked_weight(one.get(LOSS_WEIGHT, 1), f"{of_object} {number}") for number, one in enumerate(instances)]
        labels = results.get(LABELS)
        if labels is None:
            raise WeightError(
                f"{self._of(results)}: its objects have loss weights, but there are no gt_bboxes_labels yet. Put LoadLossWeights "
                "right after LoadAnnotations(with_bbox=True, with_label=True)."
            )
        if not len(labels):  # LoadEmptyAnnotations loads no objects
            return None
        if len(labels) != len(instances):
            raise WeightError(
                f"{self._of(results)} has {len(instances)} objects, {sum(given)} with loss weights, but {len(labels)} labels. "
                "Put LoadLossWeights right after LoadAnnotations, before any step that drops objects."
            )
        return None if all(weight == 1 for weight in weights) else np.array(weights, dtype=np.float32)

    def _of(self, results: Mapping[str, Any]) -> str:
        of = f" of data set {self.dataset!r}" if self.dataset else ""
        return f"image {results.get('img_path', results.get('img_id'))!r}{of}"

    def __repr__(self) -> str:
        images = self.images.where if isinstance(self.images, NamedWeights) else self.images and type(self.images).__name__
        return f"{type(self).__name__}(dataset={self.dataset!r}, images={images!r}, objects={self.objects})"


def image_table(dataset: Any, source: Any = None, name: str | None = None) -> ImageTable:
    """Returns the own weights of every image of a data set, from its annotations and from a source.

    Args:
        dataset: A ``BaseDataset``, not a wrapper around one.
        source: See :class:`LoadLossWeights`. Default: None, the annotations alone.
        name: The data set's name, for errors. Default: ``metainfo['dataset_name']``, else its annotation file.

    Raises:
        WeightError: See :func:`headweights.images.lookup.table_of_images`.
    """
    dataset.full_init()
    name = name or str(dataset.metainfo.get("dataset_name") or dataset.ann_file)
    if source is None and getattr(dataset, "has_loss_weights", None) is False:
        return ImageTable.without_weights(len(dataset))  # known since it was parsed, so no image need be unpacked
    return table_of_images(source, _Images(dataset, name), name)


@dataclass(frozen=True)
class _Images:
    """The images of a data set. They are unpacked one at a time."""

    dataset: Any
    name: str

    def __iter__(self) -> Iterator[ImageInfo]:
        for number in range(len(self.dataset)):
            info = self.dataset.get_data_info(number)
            yield _image(info, f"image {str(info.get('img_path', ''))!r} of data set {self.name!r}")


def _image(info: Mapping[str, Any], where: str) -> ImageInfo:
    value = info.get(LOSS_WEIGHT)
    annotated = {} if value is None else checked_weights(value, where=f"{where}: {LOSS_WEIGHT}")
    return ImageInfo(str(info.get("img_path", "")), info.get("img_id"), annotated, info)

"""``loss_weight`` of the images and annotations of a COCO file: mmdetection's data sets drop it, here it is kept.

``images[].loss_weight`` becomes ``data_info['loss_weight']``, a table from targets to numbers, and ``annotations[].loss_weight``
becomes ``data_info['instances'][k]['loss_weight']``. A data set of another format has just these entries.
A data set that was parsed says with its attribute ``has_loss_weights`` whether its file gives any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmdet.datasets import BaseVideoDataset, CocoDataset

from headweights.addresses import LOSS_WEIGHT
from headweights.errors import WeightError
from headweights.images import checked_weights
from headweights.mmdet.subclasses import wrap_everywhere
from headweights.weights import checked_weight

# Set in the info of an image whose annotations gave weights to its objects: every instance has one then, so that a step that
# rebuilds the instances without them is found out.
OBJECTS_WEIGHTED = "objects_have_loss_weights"


def keep_loss_weights() -> None:
    """Makes ``CocoDataset``, ``BaseVideoDataset`` and their subclasses keep loss weights of a file; called once, on import."""
    wrap_everywhere(CocoDataset, "parse_data_info", _keeping_loss_weights)
    wrap_everywhere(BaseVideoDataset, "parse_data_info", _keeping_loss_weights)


def _keeping_loss_weights(parse: Callable[[Any, Any], Any], dataset: Any, raw: Any) -> Any:
    parsed = parse(dataset, raw)
    image, annotations = raw["raw_img_info"], raw["raw_ann_info"]
    if not isinstance(parsed, dict):
        return parsed
    weighted = LOSS_WEIGHT in image or any(LOSS_WEIGHT in annotation for annotation in annotations)
    dataset.has_loss_weights = weighted or getattr(dataset, "has_loss_weights", False)
    where = f"{dataset.ann_file}: image {image.get('id', image.get('img_id'))!r} ({image.get('file_name')})"
    if LOSS_WEIGHT in image:
        parsed[LOSS_WEIGHT] = checked_weights(image[LOSS_WEIGHT], where=f"{where}: {LOSS_WEIGHT}")
    elif isinstance(dataset, BaseVideoDataset):
        parsed[LOSS_WEIGHT] = {}  # the frames of a video become lists by key, so all of them have the same keys
    if any(LOSS_WEIGHT in annotation for annotation in annotations) and OBJECTS_WEIGHTED not in parsed:
        weights = [
            checked_weight(annotation.get(LOSS_WEIGHT, 1), where=f"{where}: {LOSS_WEIGHT} of annotation {annotation.get('id')!r}")
            for annotation in annotations
        ]
        kept = _kept(parse, dataset, raw, parsed["instances"])
        if len(kept) != len(parsed["instances"]):
            raise WeightError(
                f"{where}: {type(dataset).__name__} makes {len(parsed['instances'])} objects of {len(annotations)} annotations, "
                "and which of which cannot be told; so their loss weights cannot be carried over."
            )
        for instance, number in zip(parsed["instances"], kept):
            instance[LOSS_WEIGHT] = weights[number]
        if not isinstance(dataset, BaseVideoDataset):
            parsed[OBJECTS_WEIGHTED] = True
    return parsed


def _kept(
    parse: Callable[[Any, Any], Any], dataset: Any, raw: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]
) -> list[int]:
    """The annotations that became instances, in their order: asked for one by one where some were dropped."""
    annotations = raw["raw_ann_info"]
    if len(instances) == len(annotations):
        return list(range(len(annotations)))
    kept: list[int] = []
    for number, annotation in enumerate(annotations):
        kept += [number] * len(parse(dataset, {**raw, "raw_ann_info": [annotation]})["instances"])
    return kept

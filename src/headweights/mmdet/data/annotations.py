"""Keeps the ``loss_weight`` of images and annotations in a COCO file, which mmdetection's data sets drop.

``images[].loss_weight`` becomes ``data_info['loss_weight']``, a table from targets to numbers, and ``annotations[].loss_weight``
becomes ``data_info['instances'][k]['loss_weight']``. A data set of another format sets these two entries itself. Once a data set
is loaded, its attribute ``has_loss_weights`` tells whether its file gives any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mmdet.datasets import BaseVideoDataset, CocoDataset

from headweights.errors import WeightError
from headweights.images.image import checked_weights
from headweights.mmdet.classes.order import keep_categories
from headweights.patching import replaced
from headweights.weights.addresses import LOSS_WEIGHT
from headweights.weights.weight import checked_weight

# Set in the info of an image whose annotations give weights to its objects. Each of its instances has a weight then, so that
# LoadLossWeights notices a step that rebuilds the instances without them.
OBJECTS_WEIGHTED = "objects_have_loss_weights"

Info = Mapping[str, Any]
Parse = Callable[[Info], Any]


def keeping_loss_weights(full_init: Callable[..., None], dataset: Any, *args: Any, **kwargs: Any) -> None:
    """Wraps ``full_init``: keeps the weights of the annotation file, however the class of the data set parses the file.

    Only a ``CocoDataset`` or ``BaseVideoDataset`` is changed, and only until it is loaded.
    """
    if not isinstance(dataset, (CocoDataset, BaseVideoDataset)):
        return full_init(dataset, *args, **kwargs)
    with replaced(dataset, "parse_data_info", lambda parse, raw: _parsed(parse, dataset, raw)):
        full_init(dataset, *args, **kwargs)


def _parsed(parse: Parse, dataset: Any, raw: Info) -> Any:
    keep_categories(dataset)
    parsed = parse(raw)
    if not isinstance(parsed, dict):
        return parsed
    image, annotations = raw["raw_img_info"], raw["raw_ann_info"]
    objects_weighted = any(LOSS_WEIGHT in annotation for annotation in annotations)
    dataset.has_loss_weights = LOSS_WEIGHT in image or objects_weighted or getattr(dataset, "has_loss_weights", False)
    where = f"{dataset.ann_file}: image {image.get('id', image.get('img_id'))!r} ({image.get('file_name')})"
    is_video = isinstance(dataset, BaseVideoDataset)
    if LOSS_WEIGHT in image:
        parsed[LOSS_WEIGHT] = checked_weights(image[LOSS_WEIGHT], where=f"{where}: {LOSS_WEIGHT}")
    elif is_video:
        parsed[LOSS_WEIGHT] = {}  # the frames of a video are turned into lists by key, so every frame needs the same keys
    if objects_weighted:
        weights = _weights_of_instances(parse, raw, parsed["instances"], where)
        if weights is None:
            raise WeightError(
                f"{where}: {type(dataset).__name__} makes {len(parsed['instances'])} objects of {len(annotations)} annotations, "
                "and it is not clear which object is of which annotation. So the annotations' loss weights cannot be used."
            )
        for instance, weight in zip(parsed["instances"], weights):
            instance[LOSS_WEIGHT] = weight
        if not is_video:
            parsed[OBJECTS_WEIGHTED] = True
    return parsed


def _weights_of_instances(parse: Parse, raw: Info, instances: Sequence[Info], where: str) -> list[float] | None:
    """The weight of each instance. None where instances cannot be matched with annotations.

    A class may drop, reorder or change annotations while it parses them. So every annotation is also parsed alone: an instance
    belongs to the annotation that gives the same box then.
    """
    alone = list(_parsed_alone(parse, raw, where))
    if [_box(instance) for instance in instances] == [box for box, _ in alone]:
        return [weight for _, weight in alone]
    weights: dict[Any, set[float]] = {}
    for box, weight in alone:
        weights.setdefault(box, set()).add(weight)
    of_instances = [weights.get(_box(instance), set()) for instance in instances]
    return [weight for (weight,) in of_instances] if all(len(found) == 1 for found in of_instances) else None


def _parsed_alone(parse: Parse, raw: Info, where: str) -> Iterator[tuple[Any, float]]:
    """Yields the box and the weight of every annotation."""
    for annotation in raw["raw_ann_info"]:
        place = f"{where}: {LOSS_WEIGHT} of annotation {annotation.get('id')!r}"
        weight = checked_weight(annotation.get(LOSS_WEIGHT, 1), place)
        # MOTChallengeDataset asserts that an image has objects. It drops an annotation that fails alone.
        with suppress(AssertionError):
            for instance in parse({**raw, "raw_ann_info": [annotation]})["instances"]:
                yield _box(instance), weight


def _box(instance: Info) -> Any:
    return tuple(instance.get("bbox", ())), instance.get("bbox_label"), instance.get("ignore_flag")

"""Mixing steps that keep the provenance of what they mix: the parts of the image, and the origin of each object.

mmdetection's own mixing is not copied. A step's class is replaced by a subclass whose ``transform`` watches where the images are
placed. docs/by_object.md defines the shares.
"""

from __future__ import annotations

import copyreg
import functools
from abc import ABCMeta
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from mmdet.datasets.transforms import Albu, CachedMixUp, CachedMosaic, CopyPaste, MixUp, Mosaic, PackDetInputs, PackTrackInputs
from mmdet.registry import TRANSFORMS

from headweights.mmdet.data.frame import Frame, with_frame
from headweights.mmdet.data.packing import MIXING_IS_RECORDED
from headweights.mmdet.data.source_datasets import SourceDataset, source_datasets, steps
from headweights.mmdet.data.trace import LABELS, PROVENANCE, trace, trace_of
from headweights.patching import replaced
from headweights.provenance.origin import Provenance, distinct, mix_provenance

Results = dict[str, Any]
Transform = Callable[[Any, Results], Any]
# What a step returned, the images that it mixed, and how much of the result each takes. No areas where it mixed nothing.
Mixed = tuple[Any, list[Provenance], list[float]]
# MixUp adds the two images half and half.
_MIXED_IN = 0.5


def record_mix(mixed: Results, images: Sequence[Results], areas: Sequence[float]) -> None:
    """Records which images a mixing step of your own made an image of. Call it at the step's end.

    The step joins the images' ``gt_bboxes_labels`` by ``np.concatenate``, so that the objects know where they come from.

    Args:
        mixed: The results that the step returns. May be one of the images.
        images: The results of the images that it is made of.
        areas: How much of the mixed image each of them takes, in any unit.
    """
    if any(PROVENANCE in image for image in images):
        mixed[PROVENANCE] = mix_provenance([image.get(PROVENANCE) for image in images], areas)


def keep_origins(data: Any) -> None:
    """Has every mixing step of a data set or pipeline, at any depth, keep provenance, in place.

    A training does so by itself. Call it for a data set that is used without a ``Runner``; without it, packing raises an error
    where the parts or objects of a mixed image may weigh differently.

    Args:
        data: A data set, wrapped to any depth, whose workers have not started; or a ``Compose``, a list of steps, or a step.
    """
    is_dataset = hasattr(data, "__getitem__") and not isinstance(data, (list, tuple, dict))
    step: Any
    for step in [step for source in source_datasets(data) for step in source.steps] if is_dataset else steps(data):
        if isinstance(step, (PackDetInputs, PackTrackInputs)):
            setattr(step, MIXING_IS_RECORDED, True)
        elif any(isinstance(step, base) for base in _KEEPING):
            step.__class__ = with_origins(step.__class__)


def mixed_together(sources: Sequence[SourceDataset]) -> list[list[SourceDataset]]:
    """Returns the groups of data sets whose images the mixing steps of a wrapper around them mix with each other."""
    groups: dict[int, list[SourceDataset]] = {}
    for source in sources:
        for step in steps(source.outer):
            if isinstance(step, tuple(base for base, keeping in _KEEPING.items() if keeping is not None)):
                groups.setdefault(id(step), []).append(source)
    return distinct(group for group in groups.values() if len(group) > 1)


class _WithOrigins(ABCMeta):
    """The classes that :func:`with_origins` makes. They pickle as the class that they are made of."""

    def reduced(cls) -> Any:
        # A class that a user derives from one of them pickles by its name, as classes do.
        return (with_origins, (cls.__base__,)) if "keeps_origins" in vars(cls) else cls.__qualname__


copyreg.pickle(_WithOrigins, _WithOrigins.reduced)


@functools.cache
def with_origins(step_class: Any) -> Any:
    """Returns the subclass of a mixing step's class that keeps provenance; the class itself where it does.

    Its steps have the same name, arguments, ``repr`` and random numbers. They pickle to other processes.

    Args:
        step_class: ``Mosaic``, ``MixUp``, ``CachedMixUp``, ``CopyPaste``, ``Albu`` or a subclass of theirs. TRANSFORMS has
            mmdetection's own as ``MosaicWithOrigins`` and so on.
    """
    if isinstance(step_class, _WithOrigins):
        return step_class
    stock = step_class.transform
    keeping = next(keeping for base, keeping in _KEEPING.items() if issubclass(step_class, base))

    @functools.wraps(stock)
    def transform(self: Any, results: Results) -> Any:
        if keeping is None:
            return _by_row_numbers(stock, self, results)
        if not _trace_all(self, results):
            return stock(self, results)
        mixed, parts, areas = keeping(stock, self, results)
        if mixed is not None and areas:
            mixed[PROVENANCE] = mix_provenance(parts, areas)
        return mixed

    namespace = dict(
        transform=transform,
        keeps_origins=True,
        __module__=__name__,
        __doc__=step_class.__doc__,
        # mmcv looks for this mark in the class itself.
        _avoid_cache_randomness=vars(step_class).get("_avoid_cache_randomness", False),
    )
    return _WithOrigins(step_class.__name__, (step_class,), namespace)


def _mosaic(mix: Transform, step: Any, results: Results) -> Mixed:
    """Each image takes the rectangle that it is pasted into."""
    parts = [image[PROVENANCE] for image in (results, *(results.get("mix_results") or ()))]
    areas: list[float] = []

    def combine(mosaic_combine: Any, *args: Any, **kwargs: Any) -> Any:
        coordinates = mosaic_combine(*args, **kwargs)
        left, top, right, bottom = coordinates[0]
        areas.append(float((right - left) * (bottom - top)))
        return coordinates

    def pick(get_indexes: Any, cache: Any) -> Any:
        indexes = get_indexes(cache)
        parts[1:] = [cache[index][PROVENANCE] for index in indexes]
        return indexes

    with replaced(step, "_mosaic_combine", combine), replaced(step, "get_indexes", pick):
        return mix(step, results), parts, areas


def _mixup(mix: Transform, step: Any, results: Results) -> Mixed:
    """The image that is mixed in takes half of what its frame covers, the other one the rest."""
    own = results[PROVENANCE]
    framed: list[tuple[Results, Frame]] = []
    with ExitStack() as stack:

        def frame_in(image: Results) -> None:
            boxes = image["gt_bboxes"]
            if len(boxes):
                frame = Frame(*image["img"].shape[:2])
                framed.append((image, frame))
                image["gt_bboxes"] = with_frame(boxes, frame)
                stack.callback(image.__setitem__, "gt_bboxes", boxes)

        def pick(get_indexes: Any, cache: Any) -> Any:
            index = get_indexes(cache)
            frame_in(cache[index])
            return index

        for image in results.get("mix_results") or ():
            frame_in(image)
        stack.enter_context(replaced(step, "get_indexes", pick))
        mixed = mix(step, results)
    placed = [(image, frame) for image, frame in framed if frame.is_placed]
    if mixed is None or not placed:
        return mixed, [], []
    ((image, frame),) = placed
    share = _MIXED_IN * frame.covered(*mixed["img"].shape[:2])
    return mixed, [own, image[PROVENANCE]], [1 - share, share]


def _copy_paste(mix: Transform, step: Any, results: Results) -> Mixed:
    """The objects that are pasted take the area of their masks."""
    own = results[PROVENANCE]
    mixed = mix(step, results)
    (source,) = results["mix_results"]  # holds what was selected from it
    if mixed is None or not len(source["gt_bboxes"]) or own == source[PROVENANCE]:
        return mixed, [], []
    pasted = float(np.any(source["gt_masks"].masks, axis=0).mean())
    return mixed, [own, source[PROVENANCE]], [1 - pasted, pasted]


def _by_row_numbers(augment: Transform, step: Any, results: Results) -> Any:
    """Albumentations turns labels into lists and lists into arrays. So it is given row numbers instead of labels."""
    if trace_of(results) is None:
        return augment(step, results)
    labels = results[LABELS]
    augmented = augment(step, {**results, LABELS: np.arange(len(labels))})
    if augmented is not None:
        augmented[LABELS] = labels[np.asarray(augmented[LABELS], dtype=np.int64)]
    return augmented


def _trace_all(step: Any, results: Results) -> bool:
    """Traces all images that a step may mix. False where none of them has provenance, so that there is nothing to keep."""
    images = [results, *(results.get("mix_results") or ()), *getattr(step, "results_cache", ())]
    if not any(PROVENANCE in image for image in images):
        return False
    for image in images:
        trace(image)
    return True


# How each step is watched. Albu mixes nothing.
_KEEPING: dict[Any, Callable[[Transform, Any, Results], Mixed] | None] = {
    Mosaic: _mosaic,
    MixUp: _mixup,
    CachedMixUp: _mixup,
    CopyPaste: _copy_paste,
    Albu: None,
}

for _stock in (Mosaic, CachedMosaic, MixUp, CachedMixUp, CopyPaste, Albu):
    TRANSFORMS.register_module(name=f"{_stock.__name__}WithOrigins", module=with_origins(_stock))

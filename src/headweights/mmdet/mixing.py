"""Where the parts of a mixed picture come from, and how much of it each takes.

mmdetection's mixing steps are left as they are: the methods by which they place the pictures are listened to. What a share is
stands in docs/by_object.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from mmdet.datasets.transforms import CachedMixUp, CopyPaste, MixUp, Mosaic
from mmdet.structures.bbox import HorizontalBoxes

from headweights.mmdet.carry import PROVENANCE, Provenance, distinct, trace
from headweights.mmdet.subclasses import wrap_everywhere
from headweights.origins import Part

Results = dict[str, Any]
Method = Callable[[Any, Results], Any]
# MixUp adds the two pictures half and half.
_MIXED_IN = 0.5


def mix_everywhere() -> None:
    """Makes mmdetection's mixing steps and their subclasses say what they mixed; called once, on import."""
    wrap_everywhere(Mosaic, "transform", _mosaic)
    wrap_everywhere(MixUp, "transform", _mixup)
    wrap_everywhere(CachedMixUp, "transform", _mixup)
    wrap_everywhere(CopyPaste, "transform", _copy_paste)


def record_mix(mixed: Results, pictures: Sequence[Results], areas: Sequence[float]) -> None:
    """Says which pictures a mixing step of your own made a picture of; called at its end. mmdetection's own need no such call.

    The step joins the pictures' ``gt_bboxes_labels`` by ``np.concatenate``, so that the objects know where they come from.

    Args:
        mixed: The results that the step returns; may be one of the pictures.
        pictures: The results of the pictures that it was made of.
        areas: How much of the mixed picture each of them takes, in any unit.
    """
    if any(PROVENANCE in picture for picture in pictures):
        mixed[PROVENANCE] = mix_provenance([picture.get(PROVENANCE) for picture in pictures], areas)


def mix_provenance(pictures: Sequence[Provenance | None], areas: Sequence[float]) -> Provenance:
    """The provenance of a picture that was mixed from several.

    Args:
        pictures: Where each of them comes from (``results.get(PROVENANCE)``), itself mixed or not; None where that is not known.
        areas: How much of the mixed picture each takes, in any unit. All zero counts as all equal.
    """
    known = [picture or Provenance() for picture in pictures]
    total = float(sum(areas))
    shares = [area / total for area in areas] if total > 0 else [1 / len(known)] * len(known)
    origins = distinct(part.origin for picture in known for part in picture.parts)
    of_origin = [
        sum(share * part.share for picture, share in zip(known, shares) for part in picture.parts if part.origin == origin)
        for origin in origins
    ]
    if len(origins) == 1:
        of_origin = [1.0]
    return Provenance(
        tuple(Part(origin, share) for origin, share in zip(origins, of_origin)),
        objects_weighted=any(picture.objects_weighted for picture in known),
    )


def _mosaic(mix: Method, step: Any, results: Results) -> Any:
    """Each picture takes the rectangle that it is pasted into."""
    if _is_listened_to(step) or not _trace_all(step, results):
        return mix(step, results)
    own = results[PROVENANCE]
    others = [picture[PROVENANCE] for picture in results.get("mix_results") or ()]
    areas: list[float] = []

    def pasted(arguments: Any, coordinates: Any) -> None:
        (left, top, right, bottom), _ = coordinates
        areas.append(float((right - left) * (bottom - top)))

    def picked(arguments: Any, indexes: Any) -> None:
        others[:] = [arguments[0][index][PROVENANCE] for index in indexes]

    with _listening(step, "_mosaic_combine", pasted), _listening(step, "get_indexes", picked):
        mixed = mix(step, results)
    return _settled(mixed, [own, *others], areas)


def _mixup(mix: Method, step: Any, results: Results) -> Any:
    """The picture that is mixed in takes half of what its frame covers, the other one the rest."""
    if _is_listened_to(step) or not _trace_all(step, results):
        return mix(step, results)
    own = results[PROVENANCE]
    framed: list[tuple[Results, Any, _Frame]] = []

    def picked(arguments: Any, index: Any) -> None:
        frame_in(arguments[0][index])

    def frame_in(picture: Results) -> None:
        boxes = picture["gt_bboxes"]
        if len(boxes):
            frame = _Frame(*picture["img"].shape[:2])
            framed.append((picture, boxes, frame))
            picture["gt_bboxes"] = _with_frame(boxes, frame)

    for picture in results.get("mix_results") or ():
        frame_in(picture)
    try:
        with _listening(step, "get_indexes", picked):
            mixed = mix(step, results)
    finally:
        for picture, boxes, _ in framed:
            picture["gt_bboxes"] = boxes
    placed = [(picture, frame) for picture, _, frame in framed if frame.is_placed]
    if mixed is None or not placed:
        return _settled(mixed, [own], [])
    ((picture, frame),) = placed
    share = _MIXED_IN * frame.covered(*mixed["img"].shape[:2])
    return _settled(mixed, [own, picture[PROVENANCE]], [1 - share, share])


def _copy_paste(mix: Method, step: Any, results: Results) -> Any:
    """The objects that are pasted take the area of their masks."""
    if not _trace_all(step, results):
        return mix(step, results)
    own = results[PROVENANCE]
    mixed = mix(step, results)
    (source,) = results["mix_results"]  # holds what was selected from it
    if mixed is None or not len(source["gt_bboxes"]) or own == source[PROVENANCE]:
        return _settled(mixed, [own], [])
    pasted = float(np.any(source["gt_masks"].masks, axis=0).mean())
    return _settled(mixed, [own, source[PROVENANCE]], [1 - pasted, pasted])


def _trace_all(step: Any, results: Results) -> bool:
    """Traces all pictures that a step may mix; False where none of them has weights, so that there is nothing to follow."""
    pictures = [results, *(results.get("mix_results") or ()), *getattr(step, "results_cache", ())]
    if not any(PROVENANCE in picture for picture in pictures):
        return False
    for picture in pictures:
        trace(picture)
    return True


def _settled(mixed: Any, pictures: Sequence[Provenance], areas: Sequence[float]) -> Any:
    """The mixed picture with its provenance; as it was where nothing was mixed (no areas) or the step gave it up (None)."""
    if mixed is None:
        return None
    if areas:
        mixed[PROVENANCE] = mix_provenance(pictures, areas)
    return mixed


def _is_listened_to(step: Any) -> bool:
    """Whether the step's method was called by a subclass's, which listens already."""
    return "get_indexes" in vars(step)


@contextmanager
def _listening(step: Any, name: str, hear: Callable[[Any, Any], None]) -> Iterator[None]:
    """Has every call of a step's method heard: its positional arguments and what it returned."""
    method = getattr(step, name)

    def heard(*arguments: Any, **more: Any) -> Any:
        returned = method(*arguments, **more)
        hear(arguments, returned)
        return returned

    vars(step)[name] = heard
    try:
        yield
    finally:
        del vars(step)[name]


class _Frame:
    """The frame of a picture that is mixed in: one more box, which goes wherever the picture's boxes go."""

    def __init__(self, height: int, width: int) -> None:
        self.box = HorizontalBoxes([[0.0, 0.0, float(width), float(height)]])
        self.is_placed = False

    def __deepcopy__(self, memo: Any) -> _Frame:
        return self  # a copy of the boxes moves the same frame

    def covered(self, height: int, width: int) -> float:
        """The share of a canvas that lies inside the frame."""
        self.box.clip_((height, width))
        return float(self.box.areas.sum()) / (height * width)


class _BoxesWithFrame:
    """Mixed into a class of boxes: moves a frame along with them."""

    frame: _Frame | None = None
    plain: Any = None

    def rescale_(self, scale_factor: Any) -> None:
        super().rescale_(scale_factor)  # type: ignore[misc]
        if self.frame:
            self.frame.box.rescale_(scale_factor)

    def flip_(self, img_shape: Any, direction: str = "horizontal") -> None:
        super().flip_(img_shape, direction)  # type: ignore[misc]
        if self.frame:
            self.frame.box.flip_(img_shape, direction)

    def translate_(self, distances: Any) -> None:
        super().translate_(distances)  # type: ignore[misc]
        if self.frame:
            self.frame.box.translate_(distances)
            self.frame.is_placed = True

    def clip_(self, img_shape: Any) -> None:
        super().clip_(img_shape)  # type: ignore[misc]
        if self.frame:
            self.frame.box.clip_(img_shape)

    def clone(self) -> Any:
        boxes: Any = super().clone()  # type: ignore[misc]
        boxes.frame = self.frame
        return boxes

    def __deepcopy__(self, memo: Any) -> Any:
        boxes: Any = super().__deepcopy__(memo)  # type: ignore[misc]
        boxes.frame = self.frame
        return boxes

    @classmethod
    def cat(cls, box_list: Any, dim: int = 0) -> Any:
        return cls.plain.cat(box_list, dim)


def _with_frame(boxes: Any, frame: _Frame) -> Any:
    if isinstance(boxes, np.ndarray):
        boxes = HorizontalBoxes(boxes)
    cls: Any = type(boxes)
    framed = _framed(cls)(boxes.tensor, clone=False)
    framed.frame = frame
    return framed


@functools.cache
def _framed(cls: Any) -> Any:
    return type(f"{cls.__name__}WithFrame", (_BoxesWithFrame, cls), {"plain": cls})

"""The frame of the image that ``MixUp`` mixes in: one more box, which moves with the image's boxes and tells what it covers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from mmdet.structures.bbox import HorizontalBoxes


class Frame:
    """The outline of an image, as a box.

    Args:
        height: The image's height, in pixels.
        width: The image's width, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self.box = HorizontalBoxes([[0.0, 0.0, float(width), float(height)]])
        self.is_placed = False

    def __deepcopy__(self, memo: Any) -> Frame:
        return self  # a copy of the boxes moves the same frame

    def covered(self, height: int, width: int) -> float:
        """Returns the share of a canvas, of a height and width in pixels, that lies inside the frame. Clips the frame to it."""
        self.box.clip_((height, width))
        return float(self.box.areas.sum()) / (height * width)


def with_frame(boxes: Any, frame: Frame) -> Any:
    """Returns boxes that move a frame along with them. They share the memory of the boxes given, an array or ``BaseBoxes``."""
    if isinstance(boxes, np.ndarray):
        boxes = HorizontalBoxes(boxes)
    cls: Any = type(boxes)
    framed = _framed(cls)(boxes.tensor, clone=False)
    framed.frame = frame
    return framed


class _BoxesWithFrame:
    """A mixin for a class of boxes."""

    frame: Frame | None = None

    def clone(self) -> Any:
        boxes: Any = super().clone()  # type: ignore[misc]
        boxes.frame = self.frame
        return boxes

    def __deepcopy__(self, memo: Any) -> Any:
        boxes: Any = super().__deepcopy__(memo)  # type: ignore[misc]
        boxes.frame = self.frame
        return boxes


@functools.cache
def _framed(cls: Any) -> Any:
    # cat returns plain boxes.
    moves = {name: _moving_the_frame(cls, name) for name in ("rescale_", "flip_", "translate_", "clip_")}
    return type(f"{cls.__name__}WithFrame", (_BoxesWithFrame, cls), {**moves, "cat": cls.cat})


def _moving_the_frame(cls: Any, name: str) -> Any:
    """A method of a class of boxes that moves the frame too."""

    def move(self: Any, *args: Any, **kwargs: Any) -> None:
        getattr(cls, name)(self, *args, **kwargs)
        if self.frame:
            getattr(self.frame.box, name)(*args, **kwargs)
            self.frame.is_placed |= name == "translate_"

    return move

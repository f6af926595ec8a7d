"""The frame of the image that ``MixUp`` mixes in: one more box, which moves with the image's boxes and shows what it covers."""

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


@functools.cache
def _framed(cls: Any) -> Any:
    return type(f"{cls.__name__}WithFrame", (_BoxesWithFrame, cls), {"plain": cls})

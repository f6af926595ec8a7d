"""An image with boxes: a photograph, a tile or a rendered image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and the crowns in it.

    Args:
        name: Its file name without the suffix; unique in its data set.
        image: Shape (height, width, 3), blue-green-red as in OpenCV.
        boxes: Shape (n, 4): left, top, right, bottom in pixels, where pixel (x, y) covers [x, x + 1) x [y, y + 1).
        ignored: Shape (m, 4), in the same format: regions where a detection counts neither as right nor as wrong.
    """

    name: str
    image: Image
    boxes: Boxes
    ignored: Boxes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.image.shape[:2]
        return width, height


def as_boxes(rows: object) -> Boxes:
    """Turns `rows` (a list of n boxes, possibly empty, or an array) into an array of shape (n, 4)."""
    return np.asarray(rows, dtype=np.float32).reshape(-1, 4)

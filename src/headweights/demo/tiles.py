"""Cuts an image and its boxes into square tiles."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from headweights.demo.annotated import AnnotatedImage, Boxes

# If the edge of a tile cuts a crown and at least half of it is left, the rest is annotated (after a single cut, its centre is
# then inside the tile). A smaller rest, which nobody would annotate, becomes an ignored region (COCO's `iscrowd`).
VISIBLE_SHARE = 0.5


def cut_tiles(whole: AnnotatedImage, size: int) -> Iterator[AnnotatedImage]:
    """Cuts an image into tiles of `size` x `size` pixels, side by side, from the top left.

    A remainder at the right or at the bottom is dropped. A tile is named `<image>_<left>_<top>`. Its boxes are relative to its
    own corner.
    """
    width, height = whole.size
    for top in range(0, height - size + 1, size):
        for left in range(0, width - size + 1, size):
            yield cut_tile(whole, left, top, size)


def cut_tile(whole: AnnotatedImage, left: int, top: int, size: int) -> AnnotatedImage:
    """Cuts the tile with the top left corner (`left`, `top`). Its pixels are a view into the whole image."""
    corner = np.array([left, top, left, top], dtype=np.float32)
    boxes = whole.boxes - corner
    cut = np.clip(boxes, 0, size)
    share = _area(cut) / _area(boxes)
    return AnnotatedImage(
        name=f"{whole.name}_{left}_{top}",
        image=whole.image[top : top + size, left : left + size],
        boxes=cut[share >= VISIBLE_SHARE],
        ignored=cut[(share > 0) & (share < VISIBLE_SHARE)],
    )


def _area(boxes: Boxes) -> NDArray[np.float32]:
    # A box outside the tile is clipped to width or height 0, so its area is 0.
    area: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area

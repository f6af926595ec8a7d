"""Cuts a picture into square tiles, and its boxes with it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from headweights.demo.annotated import AnnotatedImage, Boxes

# A crown that the edge of a tile cuts through is annotated as what is left of it if that is half of it or more (the
# centre of a crown cut once is then inside the tile). Less than half is a sliver, which nobody would draw: it
# becomes a region to ignore (COCO's `iscrowd`), where a detection is neither right nor wrong.
VISIBLE_SHARE = 0.5


def cut_tiles(picture: AnnotatedImage, size: int) -> Iterator[AnnotatedImage]:
    """Cuts `picture` into tiles of `size` x `size` pixels, side by side, from the top left.

    What does not fill a tile at the right and at the bottom is left out. A tile is named `<picture>_<left>_<top>`; its
    boxes are counted from its own corner.

    Raises:
        ValueError: `size` is not positive.
    """
    if size < 1:
        raise ValueError(f"a tile has at least one pixel, not {size}")
    width, height = picture.size
    for top in range(0, height - size + 1, size):
        for left in range(0, width - size + 1, size):
            yield cut_tile(picture, left, top, size)


def cut_tile(picture: AnnotatedImage, left: int, top: int, size: int) -> AnnotatedImage:
    """Cuts the tile whose corner is (`left`, `top`). The image is a view of the picture's."""
    corner = np.array([left, top, left, top], dtype=np.float32)
    boxes = picture.boxes - corner
    cut = np.clip(boxes, 0, size)
    share = _area(cut) / _area(boxes)
    return AnnotatedImage(
        name=f"{picture.name}_{left}_{top}",
        image=picture.image[top : top + size, left : left + size],
        boxes=cut[share >= VISIBLE_SHARE],
        ignored=cut[(share > 0) & (share < VISIBLE_SHARE)],
    )


def _area(boxes: Boxes) -> NDArray[np.float32]:
    # A box outside the tile is clipped to nothing: its width or height is 0, and so is its area.
    area: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area

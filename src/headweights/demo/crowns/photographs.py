"""The photographs: aerial images of tree crowns with hand-drawn boxes, from the installed package `deepforest`, and their tiles.

They are part of the NEON tree crowns of Weinstein et al., "Individual tree-crown detection in RGB imagery using
semi-supervised deep learning neural networks" (Remote Sensing 2019, https://doi.org/10.3390/rs11111309). They are read at
half their resolution, 0.2 m per pixel: a crown is then about 20 pixels wide, large enough to detect, at a quarter of the
cost. The package is not imported, so its own dependencies need not be installed.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from headweights.demo.scenes import Boxes, Scene, as_boxes, of_one_class

# One image per place, by NEON's short name of the site. YELL is Yellowstone, conifers on grass: its two places are 13 km
# apart and were photographed in different light. OSBS is Ordway-Swisher in Florida, open scrub on sand. SOAP is Soaproot
# Saddle in California, mostly dead trees.
PLACES = {
    "YELL-528": "2019_YELL_2_528000_4978000_image_crop2",
    "YELL-541": "2019_YELL_2_541000_4977000_image_crop",
    "OSBS": "OSBS_029",
    "SOAP": "SOAP_061",
}

# If the edge of a tile cuts a crown and at least half of it is left, the rest is annotated (after a single cut, its centre is
# then inside the tile). A smaller rest, which nobody would annotate, becomes an ignored region (COCO's `iscrowd`).
VISIBLE_SHARE = 0.5


def photograph_folder() -> Path:
    """Finds the folder with the images in the installed package `deepforest`.

    Raises:
        FileNotFoundError: `deepforest` is not installed, or has no such folder.
    """
    spec = find_spec("deepforest")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "data"
        if folder.is_dir():
            return folder
    raise FileNotFoundError("the tree crown images are missing: pip install deepforest --no-deps")


def read_voc(path: Path) -> Boxes:
    """Reads all boxes of a Pascal VOC annotation file, of any class.

    VOC counts pixels from 1, and a box includes its last pixel. Here pixel x covers [x, x + 1), so only left and top
    change, by one.

    Returns:
        Shape (n, 4): left, top, right, bottom in pixels.

    Raises:
        ValueError: A box has no area; the message names the file and the box.
    """
    boxes: list[list[float]] = []
    for box in ElementTree.parse(path).getroot().iterfind("object/bndbox"):
        left, top, right, bottom = (float(box.findtext(key, "nan")) for key in ("xmin", "ymin", "xmax", "ymax"))
        if not (left <= right and top <= bottom):
            raise ValueError(f"{path}: not a box: {left:g}, {top:g}, {right:g}, {bottom:g}")
        boxes.append([left - 1, top - 1, right, bottom])
    return as_boxes(boxes)


def read_photograph(place: str) -> Scene:
    """Reads the image of a place, a key of `PLACES`, and its boxes, at half the resolution. The place is its name.

    Raises:
        FileNotFoundError: The image or its annotation file does not exist, or OpenCV cannot read the image.
    """
    folder, file_name = photograph_folder(), PLACES[place]
    image_path, voc_path = folder / f"{file_name}.png", folder / f"{file_name}.xml"
    image = cv2.imread(str(image_path), cv2.IMREAD_COLOR) if image_path.is_file() else None
    if image is None or not voc_path.is_file():
        raise FileNotFoundError(f"no image {image_path} with {voc_path.name}: is deepforest 2.1 or later installed?")
    # An odd last column or row is cut off.
    height, width = (length // 2 for length in image.shape[:2])
    half = cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    boxes = np.minimum(read_voc(voc_path) / 2, np.array([width, height, width, height], dtype=np.float32))
    return of_one_class(place, np.asarray(half, dtype=np.uint8), boxes)


def cut_tiles(whole: Scene, size: int) -> Iterator[Scene]:
    """Cuts an image into tiles of `size` x `size` pixels, side by side, from the top left.

    A remainder at the right or at the bottom is dropped. A tile is named `<image>_<left>_<top>`. Its boxes are relative to its
    own corner.
    """
    width, height = whole.size
    for top in range(0, height - size + 1, size):
        for left in range(0, width - size + 1, size):
            yield cut_tile(whole, left, top, size)


def cut_tile(whole: Scene, left: int, top: int, size: int) -> Scene:
    """Cuts the tile with the top left corner (`left`, `top`). Its pixels are a view into the whole image."""
    boxes = whole.boxes - np.array([left, top, left, top], dtype=np.float32)
    # A box outside the tile is clipped to width or height 0, so its share is 0.
    cut = np.clip(boxes, 0, size)
    share = np.prod(cut[:, 2:] - cut[:, :2], axis=1) / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return of_one_class(
        name=f"{whole.name}_{left}_{top}",
        image=whole.image[top : top + size, left : left + size],
        boxes=cut[share >= VISIBLE_SHARE],
        ignored=cut[(share > 0) & (share < VISIBLE_SHARE)],
    )

"""Images with boxes (photographs, tiles, rendered images), and the COCO files for mmdetection's `CocoDataset`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]

TREE = 1


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


def write_coco(images: Iterable[AnnotatedImage], folder: Path) -> tuple[int, int]:
    """Writes `folder`/images/<name>.png and `folder`/annotations.json.

    There is one class, `tree`. Ignored regions become crowds (`iscrowd`).

    Returns:
        The number of images, and of boxes without ignored regions.

    Raises:
        OSError: An image could not be written.
    """
    image_folder = folder / "images"
    image_folder.mkdir(parents=True)
    image_rows: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, image in enumerate(images, start=1):
        file_name = f"{image.name}.png"
        if not cv2.imwrite(str(image_folder / file_name), image.image):
            raise OSError(f"could not write {image_folder / file_name}")
        width, height = image.size
        image_rows.append(dict(id=image_id, file_name=file_name, width=width, height=height))
        for boxes, crowd in ((image.boxes, 0), (image.ignored, 1)):
            for left, top, right, bottom in boxes.tolist():
                box = [left, top, right - left, bottom - top]
                number = len(annotations) + 1
                annotations.append(
                    dict(id=number, image_id=image_id, category_id=TREE, bbox=box, area=box[2] * box[3], iscrowd=crowd)
                )
    content = dict(images=image_rows, annotations=annotations, categories=[dict(id=TREE, name="tree")])
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return len(image_rows), sum(not row["iscrowd"] for row in annotations)

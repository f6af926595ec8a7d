"""Images with annotated objects, and how they are written to disk as a data set for mmdetection's `CocoDataset`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """An image with annotated objects.

    Args:
        image: Shape (height, width, 3), blue-green-red as in OpenCV.
        boxes: Shape (n, 4): left, top, right, bottom in pixels, where pixel (x, y) covers [x, x + 1) x [y, y + 1).
        labels: Shape (n,): the classes, from 0.
        trust: Shape (n,): the quality of each annotation, in [0, 1]. Known where the noise is synthetic. None: 1.
        ignored: Shape (m, 4): regions where a detection counts neither as right nor as wrong. None: no regions.
        name: The name of its file without the suffix; unique in its data set. None: its number in the data set.
    """

    image: Image
    boxes: Boxes
    labels: NDArray[np.int64]
    trust: NDArray[np.float32] | None = None
    ignored: Boxes | None = None
    name: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.image.shape[:2]
        return width, height


@dataclass(frozen=True)
class DataSet:
    """A data set on disk, in `folder`/images and `folder`/annotations.json.

    Args:
        folder: Its folder, whose name is the name of the data set.
        use: What it is used for.
        content: What it shows, and what is right and wrong in it.
        images, boxes: The number of images, and of boxes without ignored regions.
    """

    folder: Path
    use: str
    content: str
    images: int
    boxes: int


def as_boxes(rows: object) -> Boxes:
    """Turns `rows` (a list of n boxes, possibly empty, or an array) into an array of shape (n, 4)."""
    return np.asarray(rows, dtype=np.float32).reshape(-1, 4)


def of_one_class(name: str, image: Image, boxes: Boxes, ignored: Boxes | None = None) -> Scene:
    """A scene whose objects are all of the first class."""
    return Scene(image, boxes, np.zeros(len(boxes), dtype=np.int64), ignored=ignored, name=name)


def write(scenes: Iterable[Scene], folder: Path, classes: Sequence[str]) -> tuple[int, int]:
    """Writes `folder`/images/*.png, `folder`/annotations.json and, with the trust as `loss_weight`, `folder`/trusted.json.

    Ignored regions become crowds (`iscrowd`).

    Returns:
        The number of images, and of boxes without ignored regions.

    Raises:
        OSError: An image could not be written.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    trusted: list[dict[str, object]] = []
    for number, scene in enumerate(scenes):
        name = f"{scene.name or format(number, '04')}.png"
        if not cv2.imwrite(str(folder / "images" / name), scene.image):
            raise OSError(f"could not write {folder / 'images' / name}")
        width, height = scene.size
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        trust = scene.trust if scene.trust is not None else np.ones(len(scene.boxes))
        ignored = scene.ignored if scene.ignored is not None else np.zeros((0, 4))
        boxes = [(box, label, t, 0) for box, label, t in zip(scene.boxes, scene.labels, trust)] + [
            (b, 0, 1.0, 1) for b in ignored
        ]
        for box, label, weight, crowd in boxes:
            left, top, right, bottom = (float(v) for v in box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": crowd,
                }
            )
            trusted.append({**annotations[-1], "loss_weight": round(float(weight), 4)})
    categories = [{"id": number, "name": name} for number, name in enumerate(classes)]
    for file, rows in (("annotations.json", annotations), ("trusted.json", trusted)):
        content = {"images": images, "annotations": rows, "categories": categories}
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
    return len(images), sum(not row["iscrowd"] for row in annotations)

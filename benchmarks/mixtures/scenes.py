"""Scenes with objects, and how they are written to disk as a data set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scene:
    """An image with annotated objects.

    Args:
        image: Shape (height, width, 3), uint8.
        boxes: Shape (n, 4): left, top, right, bottom in pixels.
        labels: Shape (n,): the classes, from 0.
        trust: Shape (n,): the quality of each annotation, in [0, 1]. Known here because the noise is synthetic. None: 1.
        ignored: Shape (m, 4): regions where a detection counts neither as right nor as wrong.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    trust: NDArray[np.float32] | None = None
    ignored: NDArray[np.float32] | None = None


def write(scenes: Iterable[Scene], folder: Path, classes: Sequence[str]) -> None:
    """Writes `folder`/images/*.png, `folder`/annotations.json and, with the trust as `loss_weight`, `folder`/trusted.json."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    trusted: list[dict[str, object]] = []
    for number, scene in enumerate(scenes):
        name = f"{number:04}.png"
        if not cv2.imwrite(str(folder / "images" / name), scene.image):
            raise OSError(f"could not write {folder / 'images' / name}")
        height, width = scene.image.shape[:2]
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

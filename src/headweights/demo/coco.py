"""Writes annotated images as a COCO data set for mmdetection's `CocoDataset`."""

import json
from collections.abc import Iterable
from pathlib import Path

import cv2

from headweights.demo.annotated import AnnotatedImage

TREE = 1


def write_coco(images: Iterable[AnnotatedImage], folder: Path) -> None:
    """Writes `folder`/images/<name>.png and `folder`/annotations.json.

    There is one class, `tree`. Ignored regions become crowds (`iscrowd`).

    Raises:
        OSError: An image could not be written.
    """
    image_folder = folder / "images"
    image_folder.mkdir(parents=True)
    image_rows: list[dict[str, object]] = []
    annotation_rows: list[dict[str, object]] = []
    for image_id, image in enumerate(images, start=1):
        file_name = f"{image.name}.png"
        if not cv2.imwrite(str(image_folder / file_name), image.image):
            raise OSError(f"could not write {image_folder / file_name}")
        width, height = image.size
        image_rows.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        for boxes, crowd in ((image.boxes, 0), (image.ignored, 1)):
            for left, top, right, bottom in boxes.tolist():
                box = [left, top, right - left, bottom - top]
                annotation_rows.append(
                    {
                        "id": len(annotation_rows) + 1,
                        "image_id": image_id,
                        "category_id": TREE,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": crowd,
                    }
                )
    content = {
        "images": image_rows,
        "annotations": annotation_rows,
        "categories": [{"id": TREE, "name": "tree"}],
    }
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")

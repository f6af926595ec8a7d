"""The picture of a demo: what the detectors learn from, and what both find in a held-out image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from headweights.demo.scenes import DataSet, Image

# In pixels: the width of an image, the height of the title above it, and the gap between images.
WIDTH, TITLE, GAP = 420, 40, 10
# Blue, green, red.
GIVEN, RIGHT, WRONG, INK = (80, 220, 255), (90, 230, 90), (90, 90, 255), (30, 30, 30)
# A detection is right if it overlaps an object of its class by at least this intersection over union.
OVERLAP = 0.5
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Box:
    """A box in pixels, with the name of its class."""

    name: str
    left: float
    top: float
    width: float
    height: float

    def overlaps(self, other: Box) -> float:
        """The intersection over union."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        inner = max(width, 0.0) * max(height, 0.0)
        return inner / (self.width * self.height + other.width * other.height - inner)


@dataclass(frozen=True)
class Annotated:
    """The image of a data set with the most classes and, among those, the most boxes."""

    number: int
    image: Image
    boxes: list[Box]
    classes: dict[int, str]


def write_picture(data_sets: Sequence[DataSet], runs: Sequence[Path], out: Path) -> Path:
    """Writes a picture of two rows: an annotated image of each training set, and one held-out image.

    The held-out image is shown with its true boxes and with the detections of each run: the most confident ones, as many as there
    are true boxes. Detections with the right class and place are green, the others red.

    Args:
        data_sets: The last one is held out.
        runs: Their folders, with the detections.
        out: The file.

    Raises:
        OSError: The file could not be written.
    """
    *others, held_out = data_sets
    learnt = [(f"{data.folder.name}, training", annotated(data)) for data in others if data.use == "training"]
    named = len(learnt[0][1].classes) > 1
    first = [panel(title, one.image, [(box, GIVEN) for box in one.boxes], named) for title, one in learnt]
    shown = annotated(held_out)
    second = [panel("held out, true boxes", shown.image, [(box, GIVEN) for box in shown.boxes], named)]
    for run in runs:
        found = judged(detections(run, shown), shown.boxes)
        right = sum(colour == RIGHT for _, colour in found)
        second.append(panel(f"{run.name}: {right} of {len(shown.boxes)} right", shown.image, found, named))
    if not cv2.imwrite(str(out), _rows(first, second), [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise OSError(f"could not write {out}")
    return out


def annotated(data: DataSet) -> Annotated:
    """An image of a data set with its boxes."""
    content = json.loads((data.folder / "annotations.json").read_text(encoding="utf-8"))
    classes = {row["id"]: row["name"] for row in content["categories"]}
    boxes: dict[int, list[Box]] = {image["id"]: [] for image in content["images"]}
    for row in content["annotations"]:
        if not row["iscrowd"]:
            boxes[row["image_id"]].append(Box(classes[row["category_id"]], *row["bbox"]))
    chosen = max(content["images"], key=lambda image: (len({b.name for b in boxes[image["id"]]}), len(boxes[image["id"]])))
    path = data.folder / "images" / chosen["file_name"]
    image = cv2.imread(str(path))
    if image is None:
        raise OSError(f"could not read {path}")
    return Annotated(chosen["id"], np.asarray(image, dtype=np.uint8), boxes[chosen["id"]], classes)


def detections(run: Path, shown: Annotated) -> list[Box]:
    """The most confident detections of a run in an image, as many as it has boxes."""
    file = run / "held_out.bbox.json"
    # Without any detection there is no file.
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    rows = sorted((row for row in rows if row["image_id"] == shown.number), key=lambda row: -row["score"])
    return [Box(shown.classes[row["category_id"]], *row["bbox"]) for row in rows[: len(shown.boxes)]]


def judged(found: Sequence[Box], boxes: Sequence[Box]) -> list[tuple[Box, tuple[int, int, int]]]:
    """Each detection with the colour that says whether it is right. An object is found once."""
    left = list(boxes)
    result = []
    for box in found:
        match = max((one for one in left if one.name == box.name), key=box.overlaps, default=None)
        right = match is not None and box.overlaps(match) >= OVERLAP
        if match is not None and right:
            left.remove(match)
        result.append((box, RIGHT if right else WRONG))
    return result


def panel(title: str, image: Image, boxes: Sequence[tuple[Box, tuple[int, int, int]]], named: bool) -> Image:
    """An image with boxes in colours, their names if they are `named`, and a title above it."""
    scale = WIDTH / image.shape[1]
    picture = cv2.resize(image, (WIDTH, round(image.shape[0] * scale)), interpolation=cv2.INTER_CUBIC)
    for box, colour in boxes:
        corner = round(box.left * scale), round(box.top * scale)
        cv2.rectangle(picture, corner, (round((box.left + box.width) * scale), round((box.top + box.height) * scale)), colour, 2)
    for box, colour in boxes if named else ():
        _write(picture, box.name, (round(box.left * scale), round(box.top * scale)), colour)
    heading = np.full((TITLE, WIDTH, 3), 255, np.uint8)
    cv2.putText(heading, title, (4, 27), _FONT, 0.7, INK, 1, cv2.LINE_AA)
    return np.vstack([heading, picture])


def _write(picture: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Writes a name on a filled ground: above the corner of a box, or inside the box where the image ends."""
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.6, 1)
    left = max(0, min(corner[0] - 1, picture.shape[1] - width - 6))
    bottom = corner[1] if corner[1] >= height + 8 else corner[1] + height + 8
    cv2.rectangle(picture, (left, bottom - height - 8), (left + width + 6, bottom), colour, -1)
    cv2.putText(picture, text, (left + 3, bottom - 5), _FONT, 0.6, INK, 1, cv2.LINE_AA)


def _rows(*rows: Sequence[Image]) -> Image:
    """Puts panels side by side in rows. Where panels of a row differ in height or rows in width, the rest is white."""
    width = max(len(row) for row in rows) * (WIDTH + GAP) - GAP
    lines = []
    for row in rows:
        line = np.full((max(one.shape[0] for one in row), width, 3), 255, np.uint8)
        for number, one in enumerate(row):
            left = number * (WIDTH + GAP)
            line[: one.shape[0], left : left + WIDTH] = one
        lines.append(line)
    return np.vstack(lines)

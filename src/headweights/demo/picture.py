"""The picture of a demo: what the detectors learn from, and what both find in a held-out image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from headweights.demo.scenes import DataSet, Image

# In pixels: the width of an image, the height of the title above it, and the gap between images.
WIDTH, TITLE, GAP = 420, 40, 10
# Blue, green, red.
GIVEN, RIGHT, WRONG, INK = (80, 220, 255), (90, 230, 90), (90, 90, 255), (30, 30, 30)
# The number of held-out images.
SHOWN = 2
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
    """An image of a data set: its number, its file and its boxes."""

    number: int
    file: Path
    boxes: list[Box]


Judged = list[tuple[Box, tuple[int, int, int]]]


def write_picture(data_sets: Sequence[DataSet], runs: Sequence[Path], out: Path) -> Path:
    """Writes a picture: an annotated image of each training set, and below it held-out images with what each run finds.

    A run shows one detection in a place, the most confident one, and as many in an image as there are true boxes. Those with the
    right class and place are green, the others red. The titles count them in all held-out images.

    Args:
        data_sets: The last one is held out.
        runs: Their folders, with the detections.
        out: The file.

    Raises:
        OSError: The file could not be written.
    """
    *others, held_out = data_sets
    images, classes = annotated(held_out)
    named = len(classes) > 1
    learnt = {data.folder.name: annotated(data)[0][0] for data in others if data.use == "training"}
    rows = [[panel(image, given(image), named, f"{name}, training") for name, image in learnt.items()]]
    found = {run.name: detections(run, images, classes) for run in runs}
    objects = sum(len(image.boxes) for image in images)
    right = {run: sum(colour == RIGHT for judgement in by.values() for _, colour in judgement) for run, by in found.items()}
    titles = ["held out, true boxes", *(f"{run}: {count} of all {objects} right" for run, count in right.items())]
    for image in images[:SHOWN]:
        drawn = [given(image), *(by[image.number] for by in found.values())]
        rows.append([panel(image, boxes, named, title) for boxes, title in zip(drawn, titles)])
        titles = [""] * len(titles)
    if not cv2.imwrite(str(out), _stacked(rows), [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise OSError(f"could not write {out}")
    return out


def annotated(data: DataSet) -> tuple[list[Annotated], dict[int, str]]:
    """The images of a data set and its classes. Those with the most classes and, among them, the most boxes come first."""
    content = json.loads((data.folder / "annotations.json").read_text(encoding="utf-8"))
    classes = {row["id"]: row["name"] for row in content["categories"]}
    images = {row["id"]: Annotated(row["id"], data.folder / "images" / row["file_name"], []) for row in content["images"]}
    for row in content["annotations"]:
        if not row["iscrowd"]:
            images[row["image_id"]].boxes.append(Box(classes[row["category_id"]], *row["bbox"]))
    return sorted(images.values(), key=lambda image: (-len({box.name for box in image.boxes}), -len(image.boxes))), classes


def detections(run: Path, images: Sequence[Annotated], classes: Mapping[int, str]) -> dict[int, Judged]:
    """By the number of each image, the most confident detections of a run, as many as the image has boxes."""
    file = run / "held_out.bbox.json"
    found: dict[int, list[Box]] = {image.number: [] for image in images}
    # Without any detection there is no file.
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    for row in sorted(rows, key=lambda row: -row["score"]):
        box = Box(classes[row["category_id"]], *row["bbox"])
        # A detector may find several classes in one place.
        if all(box.overlaps(other) < OVERLAP for other in found[row["image_id"]]):
            found[row["image_id"]].append(box)
    return {image.number: judged(found[image.number][: len(image.boxes)], image.boxes) for image in images}


def given(image: Annotated) -> Judged:
    """The boxes of an image in the colour of annotations."""
    return [(box, GIVEN) for box in image.boxes]


def judged(found: Sequence[Box], boxes: Sequence[Box]) -> Judged:
    """Each detection with the colour that says whether it is right. An object is found once."""
    left = list(boxes)
    result: Judged = []
    for box in found:
        match = max((one for one in left if one.name == box.name), key=box.overlaps, default=None)
        right = match is not None and box.overlaps(match) >= OVERLAP
        if match is not None and right:
            left.remove(match)
        result.append((box, RIGHT if right else WRONG))
    return result


def panel(image: Annotated, boxes: Judged, named: bool, title: str) -> Image:
    """An image with boxes in colours and, if they are `named`, their names. A title, if there is one, stands above it."""
    picture = cv2.imread(str(image.file))
    if picture is None:
        raise OSError(f"could not read {image.file}")
    scale = WIDTH / picture.shape[1]
    picture = cv2.resize(picture, (WIDTH, round(picture.shape[0] * scale)), interpolation=cv2.INTER_CUBIC)
    for box, colour in boxes:
        corner = round(box.left * scale), round(box.top * scale)
        cv2.rectangle(picture, corner, (round((box.left + box.width) * scale), round((box.top + box.height) * scale)), colour, 2)
    for box, colour in boxes if named else ():
        _write(picture, box.name, (round(box.left * scale), round(box.top * scale)), colour)
    heading = np.full((TITLE if title else GAP, WIDTH, 3), 255, np.uint8)
    cv2.putText(heading, title, (4, 27), _FONT, 0.65, INK, 1, cv2.LINE_AA)
    return np.vstack([heading, picture])


def _write(picture: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Writes a name on a filled ground: above the corner of a box, or inside the box where the image ends."""
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.6, 1)
    left = max(0, min(corner[0] - 1, picture.shape[1] - width - 6))
    bottom = corner[1] if corner[1] >= height + 8 else corner[1] + height + 8
    cv2.rectangle(picture, (left, bottom - height - 8), (left + width + 6, bottom), colour, -1)
    cv2.putText(picture, text, (left + 3, bottom - 5), _FONT, 0.6, INK, 1, cv2.LINE_AA)


def _stacked(rows: Sequence[Sequence[Image]]) -> Image:
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

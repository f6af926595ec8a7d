"""Sample images, small enough to be part of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from PIL import Image, ImageOps

from headweights.report.words import number
from headweights.run_record.schema import DataSetRecord, Sample

MOST = 6
WIDEST = 640
_QUALITY = 82


@dataclass(frozen=True)
class Box:
    """A box in pixels of the original image. Its `line` width and `opacity` show its weight."""

    x: float
    y: float
    width: float
    height: float
    title: str
    line: float
    opacity: float


@dataclass(frozen=True)
class Picture:
    """An image as a JPEG data URI, or the `problem` if it could not be read."""

    name: str
    uri: str
    width: float
    height: float
    boxes: list[Box]
    caption: str
    problem: str = ""


def pictures_of(dataset: DataSetRecord, folder: Path) -> list[Picture]:
    """Loads at most six sample images of a data set, at most 640 pixels wide.

    Args:
        dataset: Its samples name the files.
        folder: Where to look for a relative path that does not exist from the current folder.
    """
    return [_picture(sample, dataset.classes, folder) for sample in dataset.samples[:MOST]]


def _picture(sample: Sample, classes: Sequence[str], folder: Path) -> Picture:
    name = PurePath(sample.image).name
    caption = _caption(sample)
    try:
        uri, width, height = _jpeg(sample.image, folder)
    except FileNotFoundError:
        return Picture(name, "", 0, 0, [], caption, f"{sample.image} does not exist")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Picture(name, "", 0, 0, [], caption, f"{sample.image} could not be read ({type(error).__name__})")
    # The boxes are in pixels of the recorded size.
    width, height = sample.width or width, sample.height or height
    return Picture(name, uri, width, height, _boxes(sample, classes), caption)


def _jpeg(image: str, folder: Path) -> tuple[str, float, float]:
    """The data URI, and the width and height of the original."""
    path = next((path for path in (Path(image), folder / image) if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(image)
    with Image.open(path) as opened:
        # mmdetection and datasets apply the EXIF orientation too, so boxes and image agree.
        turned = ImageOps.exif_transpose(opened)
        width, height = turned.size
        small = _eight_bits(turned).convert("RGB")
    small.thumbnail((WIDEST, 4 * WIDEST))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), width, height


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scales the values of an image of 16 bits or floats to 0 to 255."""
    if picture.mode[0] not in "IF":
        return picture
    # In these modes there is one channel, so the extrema are one pair.
    lowest, highest = (float(value) for value in picture.getextrema())  # type: ignore[arg-type]
    scale = 255 / (highest - lowest) if highest > lowest else 1.0
    return picture.convert("F").point(lambda value: value * scale - lowest * scale).convert("L")


def _boxes(sample: Sample, classes: Sequence[str]) -> list[Box]:
    boxes = []
    weights = sample.object_weights or []
    for index, (left, top, right, bottom) in enumerate(sample.boxes):
        label = sample.labels[index] if index < len(sample.labels) else None
        title = "" if label is None else (classes[label] if 0 <= label < len(classes) else f"class {label}")
        weight = weights[index] if index < len(weights) else None
        if weight is not None:
            title = f"{title}, weight {number(weight)}".lstrip(", ")
        # Weight 1 is a normal line, lower weights are thinner and fainter, higher ones thicker up to weight 2.
        strength = 1.0 if weight is None else max(0.0, min(weight, 2.0))
        line, opacity = 1.0 + strength, 0.35 + 0.65 * min(strength, 1.0)
        boxes.append(Box(left, top, max(0.0, right - left), max(0.0, bottom - top), title, line, round(opacity, 2)))
    return boxes


def _caption(sample: Sample) -> str:
    parts = [f"{len(sample.boxes)} object{'' if len(sample.boxes) == 1 else 's'}"]
    if sample.object_weights:
        low, high = min(sample.object_weights), max(sample.object_weights)
        parts.append(f"weight {number(low)} each" if low == high else f"weights {number(low)} to {number(high)}")
    if sample.image_weights:
        parts.append("image: " + ", ".join(f"{target} {number(weight)}" for target, weight in sample.image_weights.items()))
    return "; ".join(parts)

"""Digits in scenes: real handwriting on textures, in data sets with different kinds of errors.

    clean         few scenes; boxes and labels are correct
    wrong_labels  many scenes; the boxes are correct, every label is random
    wrong_boxes   many scenes; the labels are correct, the boxes are shifted and stretched

The handwriting is scikit-learn's `load_digits` (Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998;
https://doi.org/10.24432/C50P49). Its digits are sorted by writer, so different parts have different writers: the first three
fifths are for training, the fourth for validation, the last for the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from headweights.demo.scenes import Scene, write

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The number of scenes of each data set.
SIZES = {"clean": 10, "wrong_labels": 400, "wrong_boxes": 400}
HELD_OUT = {"validation": 150, "test": 300}
SIDE = 96
HELD_OUT_SEED = 12345
# Each side of a wrong box is moved by up to this fraction of the box's width or height.
JITTER = 0.35

_Noise = Callable[[Scene, np.random.Generator], Scene]


def make(folder: Path, seed: int, sizes: Mapping[str, int] | None = None) -> None:
    """Writes the training data of a seed to `folder`: `clean`, `wrong_labels` and `wrong_boxes`, with `sizes` scenes each."""
    for name, scenes in training_scenes(seed, sizes).items():
        write(scenes, folder / name, CLASSES)


def make_held_out(folder: Path) -> None:
    """Writes scenes of other handwriting to `folder`: `validation` and `test`."""
    for name in HELD_OUT:
        write(held_out_scenes(name), folder / name, CLASSES)


def training_scenes(seed: int, sizes: Mapping[str, int] | None = None) -> dict[str, Iterator[Scene]]:
    """The training scenes of a seed, by data set."""
    sizes = sizes or SIZES
    noises: dict[str, _Noise] = {"clean": lambda scene, rng: scene, "wrong_labels": wrong_labels, "wrong_boxes": wrong_boxes}
    return {
        name: _noisy(noise, sizes[name], np.random.default_rng([seed, number]))
        for number, (name, noise) in enumerate(noises.items())
    }


def held_out_scenes(split: str) -> Iterator[Scene]:
    """The scenes of a split, `validation` or `test`, with handwriting of its own. They are the same for every seed."""
    return scenes_of(split, HELD_OUT[split], np.random.default_rng([HELD_OUT_SEED, list(HELD_OUT).index(split)]))


def _noisy(noise: _Noise, count: int, rng: np.random.Generator) -> Iterator[Scene]:
    return (noise(scene, rng) for scene in scenes_of("train", count, rng))


def wrong_labels(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with random labels. The trust of a label is 1 if it happens to be correct, else 0."""
    labels = rng.integers(0, len(CLASSES), len(scene.labels))
    return Scene(scene.image, scene.boxes, labels, trust=(labels == scene.labels).astype(np.float32))


def wrong_boxes(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with every side of its boxes moved. The trust of a box is its IoU with the correct one."""
    size = scene.boxes[:, 2:] - scene.boxes[:, :2]
    moved = scene.boxes + rng.uniform(-JITTER, JITTER, scene.boxes.shape).astype(np.float32) * np.tile(size, 2)
    moved = np.clip(moved, 0, SIDE)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 2)
    return Scene(scene.image, moved, scene.labels, trust=_overlap(scene.boxes, moved))


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The intersection over union of each pair of boxes."""
    inner = np.clip(np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2]), 0, None).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return np.asarray(inner / (areas[0] + areas[1] - inner), dtype=np.float32)


def scenes_of(hands: str, count: int, rng: np.random.Generator) -> Iterator[Scene]:
    """`count` scenes with the handwriting of a split: `train`, `validation` or `test`. Everything in them is annotated."""
    shapes, labels = _handwriting(hands)
    return (scene_of(shapes, labels, rng) for _ in range(count))


def _handwriting(hands: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The digits of a split, of shape (n, 8, 8) in [0, 1], and their labels."""
    digits = load_digits()
    fifth = len(digits.images) // 5
    part = {"train": slice(0, 3 * fifth), "validation": slice(3 * fifth, 4 * fifth), "test": slice(4 * fifth, None)}[hands]
    return (digits.images[part] / 16).astype(np.float32), digits.target[part]


def scene_of(shapes: NDArray[np.float32], labels: NDArray[np.int64], rng: np.random.Generator) -> Scene:
    """Draws two to five of the shapes on a texture, or fewer if there is no room. `shapes` has shape (n, 8, 8), in [0, 1]."""
    canvas = _texture(rng)
    boxes: list[list[int]] = []
    written: list[int] = []
    wanted = int(rng.integers(2, 6))
    for _ in range(8 * wanted):
        if len(boxes) == wanted:
            break
        chosen = int(rng.integers(len(shapes)))
        ink = _drawn(shapes[chosen], int(rng.integers(18, 33)), rng)
        height, width = ink.shape
        left, top = int(rng.integers(0, SIDE - width)), int(rng.integers(0, SIDE - height))
        box = [left, top, left + width, top + height]
        if any(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in boxes):
            continue
        ground = canvas[top : top + height, left : left + width]
        # Dark ink on light ground and light ink on dark ground, in any hue.
        ground_is_light = ground.mean() > 0.5
        colour = rng.uniform(0.0, 0.25, 3) if ground_is_light else rng.uniform(0.75, 1.0, 3)
        canvas[top : top + height, left : left + width] = ground * (1 - ink[..., None]) + colour * ink[..., None]
        boxes.append(box)
        written.append(int(labels[chosen]))
    noisy = canvas + rng.normal(0, 0.02, canvas.shape)
    image = (np.clip(noisy, 0, 1) * 255).astype(np.uint8)
    return Scene(image, np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(written, dtype=np.int64))


def _texture(rng: np.random.Generator) -> NDArray[np.float64]:
    """Coloured noise of several scales, of shape (SIDE, SIDE, 3), in [0, 1]."""
    canvas = np.zeros((SIDE, SIDE, 3)) + rng.uniform(0.15, 0.85)
    for cells, strength in ((3, 0.15), (8, 0.10), (24, 0.08)):
        noise = rng.uniform(-1, 1, (cells, cells, 3)) * strength
        canvas += cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(canvas, 0, 1)


def _drawn(shape: NDArray[np.float32], size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """The digit as pixel coverage, about `size` pixels high, slightly rotated and sheared, cropped to its ink."""
    large = cv2.resize(np.pad(shape, 2), (size * 12 // 8, size * 12 // 8), interpolation=cv2.INTER_CUBIC)
    middle = large.shape[0] / 2
    turn = cv2.getRotationMatrix2D((middle, middle), float(rng.uniform(-12, 12)), 1.0)
    turn[0, 1] += shear if (shear := float(rng.uniform(-0.15, 0.15))) else 0.0
    turn[0, 2] -= shear * middle
    turned = np.clip(cv2.warpAffine(large, turn, large.shape[::-1]), 0, 1)
    rows, columns = np.where(turned > 0.3)
    return np.asarray(turned[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], dtype=np.float32)

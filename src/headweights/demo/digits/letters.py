"""Printed letters in scenes, the data for pretraining: OpenCV's fonts in the scenes of the digits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from headweights.demo.digits.digits import scene_of
from headweights.demo.scenes import Scene, write

CLASSES = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
SCENES, HELD_OUT = 1500, 100
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)
_THICKNESS = (4, 6, 9)


def make(folder: Path, seed: int) -> None:
    """Writes the scenes of a seed to `folder`: `letters`."""
    write(letter_scenes(SCENES, seed), folder / "letters", CLASSES)


def make_held_out(folder: Path) -> None:
    """Writes other scenes of the same fonts to `folder`: `validation`. They only show that the pretraining works."""
    write(letter_scenes(HELD_OUT, 12345), folder / "validation", CLASSES)


def letter_scenes(count: int, seed: int) -> Iterator[Scene]:
    """`count` scenes with letters in every font. Everything in them is annotated."""
    rng = np.random.default_rng(seed)
    shapes, labels = _letters(rng)
    return (scene_of(shapes, labels, rng) for _ in range(count))


def _letters(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Every letter in every font and thickness, of shape (n, 8, 8) in [0, 1] and five to eight pixels wide, and their labels."""
    shapes, labels = [], []
    for label, letter in enumerate(CLASSES):
        for font in _FONTS:
            for thickness in _THICKNESS:
                large = np.zeros((96, 96), dtype=np.uint8)
                cv2.putText(large, letter, (12, 80), font, 3, 255, thickness)
                rows, columns = np.where(large > 0)
                cut = large[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
                width = int(rng.integers(5, 9))
                small = cv2.resize(cut, (width, 8), interpolation=cv2.INTER_AREA) / 255
                shapes.append(np.pad(small, ((0, 0), ((8 - width) // 2, (9 - width) // 2))))
                labels.append(label)
    return np.array(shapes, dtype=np.float32), np.array(labels, dtype=np.int64)

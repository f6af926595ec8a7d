"""Renders any number of aerial images of tree crowns, with exact boxes.

The geometry of a rendered image is right: crowns are roundish blobs of realistic size, lit from one side, with a shadow on
the other, on textured ground, and a box fits the crown's pixels exactly. Its appearance is wrong: real branches, dead wood,
grass, rock and light look different. Nothing here is copied or learnt from a photograph.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from headweights.demo.scenes import Image, Scene, as_boxes, of_one_class

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Blue, green, red. The ground mixes two of its colours; a crown has one colour, shaded.
GROUNDS = ((70, 125, 110), (95, 150, 140), (140, 170, 185), (110, 130, 150), (60, 100, 80), (165, 175, 180))
LEAVES = ((55, 110, 85), (60, 95, 75), (75, 130, 120), (70, 120, 140), (50, 85, 60))
DEAD_WOOD = (165, 170, 175)
DEAD_SHARE = 0.15

# In pixels of 0.2 m: the median crown is 4 m wide, and 95 % are between 1.5 and 10 m.
MEDIAN_RADIUS = 9.5
RADIUS_SPREAD = 0.45
SMALLEST_RADIUS, LARGEST_RADIUS = 3.5, 25.0

# Crowns per square of one median radius: from a few trees on a meadow to a closed stand.
SPARSEST, DENSEST = 0.02, 0.14
# Crowns may touch and overlap a little, as in a stand: the smallest distance of two centres, as a multiple of the sum of
# their radii.
CLOSEST = 0.75
# At least this share of a new crown lies inside the image, and at least this share of every other crown stays visible.
LEAST_VISIBLE = 0.5
SMALLEST_BOX = 4


@dataclass(frozen=True)
class _Sun:
    """The direction of the light, a unit vector in the image, and the length of shadows in crown radii."""

    x: float
    y: float
    shadow: float


def render_crowns(name: str, size: int, seed: int) -> Scene:
    """Renders an image of `size` x `size` pixels with at least one crown. The same arguments give the same image.

    Every crown has a box: the smallest one around its visible pixels.
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    sun = _Sun(float(np.cos(angle)), float(np.sin(angle)), float(rng.uniform(0.4, 1.4)))
    crowns = _plant(size, rng)
    image = _ground(size, rng)
    for crown in crowns:
        image *= _shadow(crown, sun)[..., None]
    for crown in crowns:
        image[crown.mask] = _lit_crown(crown, sun, rng)[crown.mask]
    # A camera blurs a little and adds noise.
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 0.9)))
    photograph = image * rng.uniform(0.8, 1.15) + rng.normal(0, 4, image.shape)
    pixels: Image = np.clip(photograph, 0, 255).astype(np.uint8)
    visible = _visible([crown.mask for crown in crowns])
    return of_one_class(name, pixels, as_boxes([_box(mask) for mask in visible]))


@dataclass(frozen=True)
class _Crown:
    """A crown before it is painted. `rim` is 0 at its centre, 1 on its outline and larger outside."""

    x: float
    y: float
    radius: float
    rim: Floats
    mask: Mask


def _plant(size: int, rng: np.random.Generator) -> list[_Crown]:
    """Plants crowns in painting order, with the largest (and highest) last."""
    wanted = max(1, int(rng.uniform(SPARSEST, DENSEST) * (size / MEDIAN_RADIUS) ** 2))
    radii = MEDIAN_RADIUS * np.exp(RADIUS_SPREAD * rng.standard_normal(wanted))
    crowns: list[_Crown] = []
    for radius in np.sort(np.clip(radii, SMALLEST_RADIUS, min(LARGEST_RADIUS, size / 3))):
        for _ in range(20):
            crown = _grow(size, float(radius), rng)
            if crown and all(_apart(crown, other) for other in crowns) and _leaves_all_visible(crown, crowns):
                crowns.append(crown)
                break
    return crowns or _plant(size, rng)


def _grow(size: int, radius: float, rng: np.random.Generator) -> _Crown | None:
    """One crown somewhere in the image: a circle with a wavy outline. None if too little of it lies inside."""
    x, y = rng.uniform(0, size, 2)
    columns, rows = np.meshgrid(np.arange(size) + 0.5 - x, np.arange(size) + 0.5 - y)
    angle = np.arctan2(rows, columns)
    outline = np.ones_like(angle)
    for waves, height in ((2, 0.10), (3, 0.07), (5, 0.06), (9, 0.06), (14, 0.05)):
        outline += rng.uniform(0, height) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    rim = (np.hypot(columns, rows) / (radius * outline)).astype(np.float32)
    mask = rim <= 1
    if mask.sum() < LEAST_VISIBLE * np.pi * radius**2 or _too_small(mask):
        return None
    return _Crown(float(x), float(y), radius, rim, mask)


def _apart(one: _Crown, other: _Crown) -> bool:
    return bool(np.hypot(one.x - other.x, one.y - other.y) >= CLOSEST * (one.radius + other.radius))


def _leaves_all_visible(crown: _Crown, below: list[_Crown]) -> bool:
    """Whether enough can be seen of every crown once `crown` is painted over those `below` it."""
    visible = _visible([*(other.mask for other in below), crown.mask])
    enough = (seen.sum() >= LEAST_VISIBLE * other.mask.sum() for seen, other in zip(visible, below, strict=False))
    return all(enough) and not any(_too_small(mask) for mask in visible)


def _visible(masks: list[Mask]) -> list[Mask]:
    """The visible part of each mask if they are painted in this order."""
    covered = np.zeros_like(masks[0])
    seen = []
    for mask in reversed(masks):
        seen.append(mask & ~covered)
        covered = covered | mask
    return seen[::-1]


def _box(mask: Mask) -> tuple[int, int, int, int]:
    """The smallest box that holds all pixels of `mask`."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _too_small(mask: Mask) -> bool:
    if not mask.any():
        return True
    left, top, right, bottom = _box(mask)
    return min(right - left, bottom - top) < SMALLEST_BOX


def _noise(size: int, coarsest: int, rng: np.random.Generator) -> Floats:
    """Smooth noise, shape (size, size), about -1 to 1: the sum of random grids of `coarsest` cells, twice as many, and so on."""
    total = np.zeros((size, size), dtype=np.float32)
    cells, height = coarsest, 0.5
    while cells <= size:
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        total += height * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        cells, height = cells * 2, height * 0.75
    return total


def _ground(size: int, rng: np.random.Generator) -> Floats:
    """Ground in patches of two colours, with grain and sometimes fallen trunks. Trunks are distractors and have no boxes."""
    first, second = (np.array(GROUNDS[i], dtype=np.float32) for i in rng.choice(len(GROUNDS), 2, replace=False))
    share = np.clip(0.5 + _noise(size, 3, rng), 0, 1)[..., None]
    ground = first * share + second * (1 - share)
    ground += 22 * _noise(size, 16, rng)[..., None]
    for _ in range(rng.integers(0, 3)):
        start, end = rng.uniform(0, size, (2, 2)).astype(int).tolist()
        cv2.line(ground, start, end, DEAD_WOOD, int(rng.integers(1, 4)), cv2.LINE_AA)
    return np.asarray(ground, dtype=np.float32)


def _shadow(crown: _Crown, sun: _Sun) -> Floats:
    """The share of light that a crown's shadow lets through, shape (size, size): the crown's disc stretched away from the sun."""
    shadow = np.zeros(crown.mask.shape, dtype=np.float32)
    for step in np.linspace(0, 1, 6):
        reach = step * sun.shadow * crown.radius
        centre = int(crown.x - sun.x * reach), int(crown.y - sun.y * reach)
        cv2.circle(shadow, centre, max(1, int(crown.radius * (1 - 0.35 * step))), 1.0, -1)
    return np.asarray(1 - 0.6 * cv2.GaussianBlur(shadow, (0, 0), 1.2), dtype=np.float32)


def _lit_crown(crown: _Crown, sun: _Sun, rng: np.random.Generator) -> Floats:
    """A crown's colours, shape (size, size, 3): a dome, brighter towards the sun, with clumps of leaves."""
    size = crown.mask.shape[0]
    dead = rng.random() < DEAD_SHARE
    colour = np.array(DEAD_WOOD if dead else LEAVES[rng.integers(len(LEAVES))], dtype=np.float32)
    tinted = colour * rng.uniform(0.85, 1.2) + rng.normal(0, 6, 3)
    columns, rows = np.meshgrid(np.arange(size) - crown.x, np.arange(size) - crown.y)
    towards_sun = (columns * sun.x + rows * sun.y) / crown.radius
    light = 1 + 0.35 * towards_sun - 0.25 * np.clip(crown.rim, 0, 1) ** 2
    clumps = 1 + 0.45 * _noise(size, max(8, int(4 * size / crown.radius)), rng)
    return np.asarray(tinted * (light * clumps)[..., None], dtype=np.float32)

"""Tree crowns: few real aerial tiles and many rendered ones, from the data of `headweights demo crowns`.

    real       few tiles, photographed at one place in Yellowstone, with hand-drawn boxes
    rendered   many synthetic tiles, with exact boxes and a wrong appearance

The validation split has other tiles of the same photograph. The test split has photographs of another place in Yellowstone,
one in Florida and one in California.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from headweights.demo.crowns.data import CLASSES, HELD_OUT_PLACES, HELD_OUT_TILE, LEAST_CROWNS, REAL_PLACE
from headweights.demo.crowns.photographs import cut_tiles, read_photograph
from headweights.demo.crowns.render import render_crowns
from headweights.demo.scenes import Scene, write

SIZES = {"real": 16, "rendered": 160}
TILE = 96
# Every third tile of the photograph is for validation, whatever the seed.
VALIDATION = 3


def make(folder: Path, seed: int) -> None:
    """Writes the training data of a seed to `folder`: `real` and `rendered`."""
    tiles = [tile for number, tile in enumerate(_stands()) if number % VALIDATION]
    chosen = np.random.default_rng(seed).choice(len(tiles), SIZES["real"], replace=False)
    _write((tiles[number] for number in sorted(chosen)), folder / "real")
    seeds = np.random.SeedSequence(seed).generate_state(SIZES["rendered"])
    _write((render_crowns(str(number), TILE, int(own)) for number, own in enumerate(seeds)), folder / "rendered")


def make_held_out(folder: Path) -> None:
    """Writes the held-out tiles to `folder`: `validation` and `test`."""
    _write((tile for number, tile in enumerate(_stands()) if not number % VALIDATION), folder / "validation")
    places = (read_photograph(place) for place in HELD_OUT_PLACES)
    _write((tile for place in places for tile in cut_tiles(place, HELD_OUT_TILE)), folder / "test")


def _stands() -> list[Scene]:
    return [tile for tile in cut_tiles(read_photograph(REAL_PLACE), TILE) if len(tile.boxes) >= LEAST_CROWNS]


def _write(tiles: Iterable[Scene], folder: Path) -> None:
    # Files are numbered, whatever the places.
    write((replace(tile, name=None) for tile in tiles), folder, CLASSES)

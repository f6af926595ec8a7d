"""The tree crowns: a few real tiles, many rendered ones, and test tiles from other places."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headweights.demo.crowns.photographs import cut_tiles, read_photograph
from headweights.demo.crowns.render import render_crowns
from headweights.demo.scenes import DataSet, Scene, write

CLASSES = ("tree",)
REAL_PLACE = "YELL-528"
HELD_OUT_PLACES = ("YELL-541", "OSBS", "SOAP")

# A typical mix: real images are expensive and rendered ones are free, so there are ten times as many rendered images.
REAL_TILES = 16
RENDERED_TILES = 160
# In pixels of 0.2 m.
TRAINING_TILE = 128
# The held-out images of OSBS and SOAP are 200 pixels wide: exactly four tiles each.
HELD_OUT_TILE = 100
# Training tiles have at least this many crowns, which leaves out meadows.
LEAST_CROWNS = 2


def make_data(folder: Path, seed: int) -> list[DataSet]:
    """Writes the data sets `real`, `rendered` and `held_out` to `folder`. The same seed gives the same data.

    Raises:
        FileNotFoundError: The package `deepforest`, which contains the photographs, is not installed.
    """
    held_out = (tile for place in HELD_OUT_PLACES for tile in cut_tiles(read_photograph(place), HELD_OUT_TILE))
    sources = (
        ("real", "training", f"photographs, {REAL_PLACE}", _real(seed)),
        ("rendered", "training", "exact boxes, but crowns look wrong", _rendered(seed)),
        ("held_out", "test", f"photographs, {', '.join(HELD_OUT_PLACES)}", held_out),
    )
    return [DataSet(folder / name, use, content, *write(tiles, folder / name, CLASSES)) for name, use, content, tiles in sources]


def _real(seed: int) -> Iterator[Scene]:
    stands = [tile for tile in cut_tiles(read_photograph(REAL_PLACE), TRAINING_TILE) if len(tile.boxes) >= LEAST_CROWNS]
    chosen = np.random.default_rng(seed).choice(len(stands), REAL_TILES, replace=False)
    return (stands[index] for index in sorted(chosen))


def _rendered(seed: int) -> Iterator[Scene]:
    # One seed per image, so that an image does not depend on how many others there are.
    seeds = np.random.SeedSequence(seed).generate_state(RENDERED_TILES)
    return (render_crowns(f"rendered_{i:03}", TRAINING_TILE, int(own)) for i, own in enumerate(seeds))

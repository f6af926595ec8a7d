"""The names of the entries that a run adds to its training log: ``<quantity>/<term>/<data set>``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

RAW_LOSS, WEIGHTED_LOSS, WEIGHT = "raw_loss", "weighted_loss", "weight"
LOSS_SHARE, GRADIENT_SHARE, GRADIENT_COSINE = "loss_share", "gradient_share", "gradient_cosine"
QUANTITIES = (RAW_LOSS, WEIGHTED_LOSS, WEIGHT, LOSS_SHARE, GRADIENT_SHARE, GRADIENT_COSINE)

_BETWEEN = " vs "


class Entry(NamedTuple):
    """What an entry measures."""

    quantity: str  # one of QUANTITIES
    term: str  # a head's path, followed by a loss where the quantity is one of a loss: "rpn_head.loss_rpn_cls"
    dataset: str  # a data set; for a cosine, a pair of data sets

    @property
    def name(self) -> str:
        """The entry's name in the log."""
        return "/".join(self)


def parse_entry(name: str) -> Entry | None:
    """Reads an entry's name; returns None for another scalar. The name of a data set may contain slashes and spaces."""
    parts = name.split("/", 2)
    return Entry(*parts) if len(parts) == 3 and parts[0] in QUANTITIES and all(parts) else None


def pair_name(one: str, other: str) -> str:
    """Names a pair of data sets: ``<one> vs <other>``."""
    return one + _BETWEEN + other


def split_pair(pair: str, known: Sequence[str]) -> tuple[str, str]:
    """Splits the name of a pair into the names of its data sets. ``a vs b vs c`` is split where the known names say."""
    parts = pair.split(_BETWEEN)
    splits = [(_BETWEEN.join(parts[:n]), _BETWEEN.join(parts[n:])) for n in range(1, len(parts))]
    return next((split for split in splits if set(split) <= set(known)), splits[0] if splits else (pair, pair))

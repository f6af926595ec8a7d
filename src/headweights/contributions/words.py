"""Contributions in words: lines for the log, and which data sets' gradients oppose each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from headweights.run_record.log_entries import GRADIENT_SHARE, LOSS_SHARE, RAW_LOSS, WEIGHT, Entry


def lines(entries: Mapping[Entry, float], datasets: Sequence[str], heads: Sequence[str]) -> Iterator[str]:
    """Writes one line for each data set and head path that the log entries of a step measure."""
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for entry, value in entries.items():
        values[entry.quantity, entry.dataset][entry.term] = value
    for dataset in datasets:
        for head in heads:
            parts = []
            for quantity, word, form in ((RAW_LOSS, "loss", ".4g"), (WEIGHT, "weight", ".4g"), (LOSS_SHARE, "share", ".0%")):
                found = {
                    term.removeprefix(head + "."): format(value, form)
                    for term, value in values[quantity, dataset].items()
                    if term.startswith(head + ".") or term == head
                }
                if found:
                    parts.append(f"{word} {_compact(found)}")
            if head in values[GRADIENT_SHARE, dataset]:
                parts.append(f"gradient {values[GRADIENT_SHARE, dataset][head]:.0%}")
            if parts:
                yield f"{dataset} | {head}: " + ", ".join(parts)


def _compact(values: Mapping[str, str]) -> str:
    """Joins the values of a head's losses. If all are alike, one stands for all."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return " ".join(f"{loss.removeprefix('loss_')} {value}" for loss, value in values.items())


# Of fewer measurements, a mean says little.
_ENOUGH = 3


class Opposition(NamedTuple):
    """Two data sets whose gradients oppose each other in the head at a path. If one of them is the target, it is `other`."""

    head: str
    one: str
    other: str
    cosine: float  # the mean over the measurements
    measurements: int  # their number

    def __str__(self) -> str:
        return f"In {self.head}, {self.one}'s gradient opposes {self.other}'s (mean cosine {self.cosine:.2f})"


def warnings_of(cosines: Mapping[tuple[str, str, str], Sequence[float]], target: str | None) -> Iterator[str]:
    """Writes a sentence about each data set whose gradient opposes that of the target, or, without one, of any other.

    It takes a few measurements to say so: in a small batch, one cosine is mostly noise.

    Args:
        cosines: See :func:`opposing`.
        target: The data set that the detector is meant for, if any.
    """
    for found in opposing(cosines, target):
        if target in (None, found.one, found.other) and found.measurements >= _ENOUGH:
            yield (
                f"headweights: {found} over the last {found.measurements} measurements. "
                f"Less weight for {found.one} there may help {found.other}."
            )


def opposing(cosines: Mapping[tuple[str, str, str], Sequence[float]], target: str | None) -> list[Opposition]:
    """Finds the data sets whose gradients oppose each other: their mean cosine over the last half of a run is below 0.

    Args:
        cosines: The cosines in the order in which they were measured, by (head path, one data set, other data set).
        target: The data set that the detector is meant for, if any.
    """
    found = []
    for (head, one, other), measured in cosines.items():
        last = measured[len(measured) // 2 :]
        if last and fmean(last) < 0:
            one, other = (other, one) if one == target else (one, other)
            found.append(Opposition(head, one, other, fmean(last), len(last)))
    return found

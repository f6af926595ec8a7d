"""What each data set contributed to each head in one step: the numbers, summed over processes, under the names of the log."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The names of the log's entries begin with what they measure.
RAW_LOSS, WEIGHTED_LOSS, WEIGHT, LOSS_SHARE = "raw_loss", "weighted_loss", "weight", "loss_share"
GRADIENT_SHARE, GRADIENT_COSINE = "gradient_share", "gradient_cosine"

Key = tuple[str, str]


def _nothing() -> dict[Any, float]:
    return defaultdict(float)


@dataclass
class Sums:
    """What is added up over the images of a data set and over processes.

    Args:
        images: Pictures in the step, by data set.
        losses: Raw loss times pictures, by term (``<head path>.<logged name>``) and data set.
        weighted: The same times the pictures' mean weight.
        weights: Sum of the pictures' weights, by addressable term and data set.
        gradients: Squared norm of the gradient at the features, by head and data set.
        products: Inner products of the gradients of the head's parameters, by head and pair of data sets, each with itself
            among them.
    """

    images: dict[str, float] = field(default_factory=_nothing)
    losses: dict[Key, float] = field(default_factory=_nothing)
    weighted: dict[Key, float] = field(default_factory=_nothing)
    weights: dict[Key, float] = field(default_factory=_nothing)
    gradients: dict[Key, float] = field(default_factory=_nothing)
    products: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def scalars(self) -> dict[str, float]:
        """The log's entries: ``<quantity>/<term or head>/<data set>``.

        Shares are of all data sets in the step and sum to 1; where there is nothing to share there are none.
        """
        return {f"{quantity}/{place}/{dataset}": value for quantity, place, dataset, value in self._entries()}

    def _entries(self) -> Iterator[tuple[str, str, str, float]]:
        for (term, dataset), total in self.losses.items():
            yield RAW_LOSS, term, dataset, total / self.images[dataset]
        for (term, dataset), total in self.weighted.items():
            yield WEIGHTED_LOSS, term, dataset, total / self.images[dataset]
        for (term, dataset), total in self.weights.items():
            yield WEIGHT, term, dataset, total / self.images[dataset]
        for (term, dataset), share in _shares(self.weighted).items():
            yield LOSS_SHARE, term, dataset, share
        norms = {key: math.sqrt(squared) for key, squared in self.gradients.items()}
        for (head, dataset), share in _shares(norms).items():
            yield GRADIENT_SHARE, head, dataset, share
        for (head, one, other), product in self.products.items():
            norm = math.sqrt(self.products[head, one, one] * self.products[head, other, other])
            if one < other and norm > 0:
                yield GRADIENT_COSINE, head, f"{one} vs {other}", product / norm


def _shares(values: Mapping[Key, float]) -> dict[Key, float]:
    totals: dict[str, float] = defaultdict(float)
    for (place, _), value in values.items():
        totals[place] += value
    return {key: value / totals[key[0]] for key, value in values.items() if totals[key[0]] > 0}


def lines(scalars: Mapping[str, float], datasets: Sequence[str], heads: Sequence[str]) -> Iterator[str]:
    """The entries as text: one line a data set and head."""
    for dataset in datasets:
        for head in heads:
            parts = []
            for quantity, word in ((RAW_LOSS, "loss"), (WEIGHT, "weight"), (LOSS_SHARE, "share")):
                found = {
                    place.removeprefix(head + "."): value
                    for place, value in _of(scalars, quantity, dataset).items()
                    if place.startswith(head + ".") or place == head
                }
                if found:
                    parts.append(f"{word} " + _compact(found, "{:.0%}" if quantity == LOSS_SHARE else "{:.4g}"))
            gradient = _of(scalars, GRADIENT_SHARE, dataset).get(head)
            if gradient is not None:
                parts.append(f"gradient {gradient:.0%}")
            if parts:
                yield f"{dataset} | {head}: " + ", ".join(parts)


def _of(scalars: Mapping[str, float], quantity: str, dataset: str) -> dict[str, float]:
    """The entries of a quantity and a data set, by place."""
    split = (name.split("/", 2) for name in scalars)
    return {parts[1]: scalars["/".join(parts)] for parts in split if parts[0] == quantity and parts[2] == dataset}


def _compact(values: Mapping[str, float], form: str) -> str:
    """Values by loss; one where all are alike."""
    written = {name: form.format(value) for name, value in values.items()}
    if len(set(written.values())) == 1:
        return next(iter(written.values()))
    return " ".join(f"{name.removeprefix('loss_')} {value}" for name, value in written.items())


def opposing(cosines: Mapping[str, Sequence[float]], target: str | None) -> Iterator[str]:
    """In words: which data sets' gradients opposed each other, by the mean over the last half of the measurements.

    Args:
        cosines: What was measured in a run, by the name of the entry.
        target: The data set that the detector is for; None for any.
    """
    for name, measured in cosines.items():
        _, head, pair = name.split("/", 2)
        last = measured[len(measured) // 2 :]
        mean = sum(last) / len(last)
        one, other = pair.split(" vs ", 1)
        if mean < 0 and target in (None, one, other):
            if one == target:
                one, other = other, one
            yield (
                f"In {head}, {one}'s gradient opposes {other}'s: mean cosine {mean:.2f} over the last {len(last)} measurements. "
                f"Less weight for {one} there may help {other}."
            )

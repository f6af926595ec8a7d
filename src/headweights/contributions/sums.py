"""The totals of a measurement, and the log entries that follow from them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from headweights.run_record import log_entries as log
from headweights.run_record.log_entries import Entry, pair_name

Key = tuple[str, str]
# A head's path and two data sets.
Pair = tuple[str, str, str]


def _zeros() -> dict[Any, float]:
    return defaultdict(float)


@dataclass
class Sums:
    """Totals over the images of a data set and over processes.

    A term is a head's path followed by a loss, ``rpn_head.loss_cls``.

    Args:
        images: The number of images by data set.
        losses: Raw loss times images, by (term with the loss as logged, data set).
        weighted: The same times the images' mean weight.
        weights: The sum of the images' weights, by (term with the loss as addressed, data set).
        gradients: The squared norm of the gradient at the features, by (head path, data set).
        vectors: The gradient of the head's parameters, by (head path, data set).
    """

    images: dict[str, float] = field(default_factory=_zeros)
    losses: dict[Key, float] = field(default_factory=_zeros)
    weighted: dict[Key, float] = field(default_factory=_zeros)
    weights: dict[Key, float] = field(default_factory=_zeros)
    gradients: dict[Key, float] = field(default_factory=_zeros)
    vectors: dict[Key, Tensor] = field(default_factory=dict)

    def cosines(self) -> dict[Pair, float]:
        """Returns the cosine between two data sets' gradients. A pair with a zero gradient has none."""
        by_head: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for (head, dataset), vector in self.vectors.items():
            if vector.any():
                by_head[head][dataset] = vector / vector.norm()
        return {
            (head, one, other): float(torch.dot(vectors[one], vectors[other]))
            for head, vectors in by_head.items()
            for one, other in combinations(sorted(vectors), 2)
        }

    def entries(self) -> dict[Entry, float]:
        """Returns the log entries. The shares of all data sets sum to 1; where the total is 0, there are no shares."""
        entries = {
            Entry(quantity, term, dataset): total / self.images[dataset]
            for quantity, totals in ((log.RAW_LOSS, self.losses), (log.WEIGHTED_LOSS, self.weighted), (log.WEIGHT, self.weights))
            for (term, dataset), total in totals.items()
        }
        norms = {key: math.sqrt(squared) for key, squared in self.gradients.items()}
        for quantity, values in ((log.LOSS_SHARE, self.weighted), (log.GRADIENT_SHARE, norms)):
            entries.update({Entry(quantity, *key): share for key, share in _shares(values).items()})
        for (head, *pair), cosine in self.cosines().items():
            entries[Entry(log.GRADIENT_COSINE, head, pair_name(*pair))] = cosine
        return entries


def _shares(values: Mapping[Key, float]) -> dict[Key, float]:
    """Divides each value by the total of its term."""
    totals: dict[str, float] = defaultdict(float)
    for (term, _), value in values.items():
        totals[term] += value
    return {key: value / totals[key[0]] for key, value in values.items() if totals[key[0]] > 0}

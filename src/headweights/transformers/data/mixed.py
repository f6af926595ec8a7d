"""Draws from several data sets, and tells every item which one it is from."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from torch.utils.data import Dataset, IterableDataset

from headweights.errors import WeightError
from headweights.transformers.data.source import Source


class MixedDataset(Dataset[Any]):
    """Data sets one after the other; or, with probabilities, drawn from in random order.

    An epoch has as many items as the data sets have together. With probabilities, a data set that is drawn more often than it has
    items repeats them, each as often as the others give or take one; ``set_epoch`` draws anew.

    Args:
        sources: The data sets.
        probabilities: How often each is drawn. Default: None, as often as it has items.
        seed: The seed of the drawing.
    """

    def __init__(self, sources: Sequence[Source], probabilities: Sequence[float] | None = None, seed: int = 0) -> None:
        self.sources = sources
        self.probabilities = probabilities
        self.seed = seed
        self._ends = list(accumulate(map(len, sources)))
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draws the items of an epoch. A ``Trainer`` calls it."""
        if self.probabilities is None:
            return
        random = np.random.default_rng((self.seed, epoch))
        drawn = random.choice(len(self.sources), size=len(self), p=self.probabilities)
        self._drawn = np.empty(len(self), dtype=np.int64)
        for number, source in enumerate(self.sources):
            places = np.flatnonzero(drawn == number)
            rounds = -(-len(places) // len(source))
            items = np.concatenate([random.permutation(len(source)) for _ in range(rounds)] or [np.empty(0, dtype=np.int64)])
            self._drawn[places] = self._ends[number] - len(source) + items[: len(places)]

    @property
    def drawn(self) -> list[float]:
        """How many items of each data set an epoch has."""
        if self.probabilities is None:
            return [float(len(source)) for source in self.sources]
        return [len(self) * probability for probability in self.probabilities]

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = index if self.probabilities is None else int(self._drawn[index])
        number = bisect.bisect_right(self._ends, place)
        source = self.sources[number]
        return source[place - (self._ends[number] - len(source))]


class MixedStream(IterableDataset[Any]):
    """Iterable data sets, interleaved at random until one of them ends.

    Args:
        sources: The data sets.
        probabilities: How often each is drawn.
        seed: The seed of the drawing.
    """

    def __init__(self, sources: Sequence[Source], probabilities: Sequence[float], seed: int = 0) -> None:
        self.sources = sources
        self.probabilities = probabilities
        self.seed = seed
        self._epoch = 0

    @property
    def drawn(self) -> list[float]:
        """How often each data set is drawn."""
        return list(self.probabilities)

    def set_epoch(self, epoch: int) -> None:
        """Makes the next pass draw anew, and tells the data sets."""
        self._epoch = epoch
        for source in self.sources:
            if hasattr(source.dataset, "set_epoch"):
                source.dataset.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        random = np.random.default_rng((self.seed, self._epoch))
        streams = [iter(source) for source in self.sources]
        while True:
            try:
                yield next(streams[random.choice(len(streams), p=self.probabilities)])
            except StopIteration:
                return


Mixed = MixedDataset | MixedStream


def mixed(sources: Sequence[Source], probabilities: Mapping[str, float] | None, seed: int) -> Mixed:
    """Mixes data sets.

    Args:
        sources: The data sets; all map-style, or else streams.
        probabilities: How often each is drawn, in any unit. Default: None, as often as it has items; streams alike.
        seed: The seed of the drawing.

    Raises:
        WeightError: There is no data set, one is empty, or the probabilities are not one number > 0 for each.
    """
    names = [source.name for source in sources]
    if not sources:
        raise WeightError("LossWeights.mix: there is no data set. Give them by name: mix(real=..., synthetic=...).")
    shares = None if probabilities is None else _shares(names, probabilities)
    if not all(source.is_sized for source in sources):
        return MixedStream(sources, shares or [1 / len(sources)] * len(sources), seed)
    for source in sources:
        if not len(source):
            raise WeightError(f"LossWeights.mix: data set {source.name!r} is empty.")
    return MixedDataset(sources, shares, seed)


def _shares(names: Sequence[str], probabilities: Mapping[str, float]) -> list[float]:
    valid = isinstance(probabilities, Mapping) and set(probabilities) == set(names)
    if not valid or not all(isinstance(p, (int, float)) and 0 < p < float("inf") for p in probabilities.values()):
        raise WeightError(
            f"LossWeights.mix: probabilities is {probabilities!r}; it must be a table with one number > 0 for each data set: "
            f"{', '.join(names)}."
        )
    total = sum(probabilities.values())
    return [probabilities[name] / total for name in names]


def mixed_in(dataset: Any) -> Mixed | None:
    """Finds the mix in a training data set, through the wrappers of data loaders; None where there is none."""
    while dataset is not None and not isinstance(dataset, MixedDataset | MixedStream):
        dataset = getattr(dataset, "dataset", None)
    return dataset

"""Draws the images of some data sets more often than those of others."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmdet.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from headweights.errors import WeightError


@DATA_SAMPLERS.register_module()
class SourceRateSampler(Sampler[int]):
    """Draws an image of each data set at a rate of its own, independently of the batch size.

    Every image comes from a data set drawn at random, in proportion to its rate times its number of images. Within a data set,
    all images are drawn once, in random order, before one is repeated. mmdetection's ``MultiSourceSampler`` has whole numbers of
    images in a batch instead.

    Args:
        dataset: A ``ConcatDataset``.
        source_rates: How often an image of each of its data sets is drawn, in any unit. Equal rates: as without this sampler.
        infinite: Whether it never ends, for ``IterBasedTrainLoop``, or ends after as many images as the data sets have together,
            for ``EpochBasedTrainLoop``. Default: False.
        seed: The seed. Default: a random one, shared by all processes.

    Raises:
        WeightError: The data set is no ``ConcatDataset``, or the rates are not one number > 0 for each data set.

    Attributes:
        num_per_source: How many images of each data set are expected in a pass over the mix.
    """

    def __init__(self, dataset: Any, source_rates: Sequence[float], infinite: bool = False, seed: int | None = None) -> None:
        sources = getattr(dataset, "datasets", None)
        if sources is None or not hasattr(dataset, "cumulative_sizes"):
            raise WeightError(f"SourceRateSampler: the dataset must be a ConcatDataset; it is a {type(dataset).__name__}.")
        valid = isinstance(source_rates, Sequence) and all(
            isinstance(rate, numbers.Real) and 0 < rate < math.inf for rate in source_rates
        )
        if not valid or len(source_rates) != len(sources):
            raise WeightError(
                f"SourceRateSampler: source_rates is {source_rates!r}; it must be a list of {len(sources)} numbers > 0, one for "
                "each data set of the ConcatDataset."
            )
        rank, processes = get_dist_info()
        self.rank, self.processes = int(rank), int(processes)
        self.infinite = infinite
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self._images: int = len(dataset)
        self._starts: list[int] = [0, *dataset.cumulative_sizes[:-1]]
        self._sizes = [len(source) for source in sources]
        drawn = [rate * size for rate, size in zip(source_rates, self._sizes)]
        self.num_per_source = [self._images * number / sum(drawn) for number in drawn]

    def __iter__(self) -> Iterator[int]:
        end = None if self.infinite else len(self) * self.processes
        return itertools.islice(self._drawn(), self.rank, end, self.processes)

    def __len__(self) -> int:
        return math.ceil(self._images / self.processes)

    def set_epoch(self, epoch: int) -> None:
        """Has the next pass draw other images."""
        self.epoch = epoch

    def _drawn(self) -> Iterator[int]:
        """Endless indices, the same in all processes."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        shares = torch.tensor(self.num_per_source, dtype=torch.float64)
        passes = [self._passes(size, generator) for size in self._sizes]
        while True:
            for source in torch.multinomial(shares, self._images, replacement=True, generator=generator).tolist():
                yield int(self._starts[source] + next(passes[source]))

    @staticmethod
    def _passes(size: int, generator: torch.Generator) -> Iterator[int]:
        while True:
            yield from torch.randperm(size, generator=generator).tolist()

"""How far a runner is, and how long it trains."""

from __future__ import annotations

import math
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from headweights.mixture.mix import Moment
from headweights.mixture.problems import Length


def moment_of(runner: Runner) -> Moment:
    """Returns a runner's iteration and epoch. A loop by iterations counts no epochs: there it is the pass over the data."""
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    return Moment(runner.iter, runner.epoch if by_epoch else runner.iter // _iterations_of_a_pass(runner))


def length_of(runner: Runner) -> Length:
    """Returns how long a runner trains."""
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    epochs = runner.max_epochs if by_epoch else math.ceil(runner.max_iters / _iterations_of_a_pass(runner))
    return Length(runner.max_iters, epochs)


def sampler_of(loader: DataLoader[Any]) -> Any:
    """Returns the sampler that draws a loader's images; a batch sampler (``AspectRatioBatchSampler``) holds it."""
    return getattr(loader.batch_sampler, "sampler", loader.sampler)


def _iterations_of_a_pass(runner: Runner) -> int:
    """The number of iterations in which all processes together draw as many images as there are."""
    loader = runner.train_dataloader
    # In every process, an infinite sampler is as long as the data and any other sampler as long as the process's part of it.
    drawn_by_all = len(sampler_of(loader)) * get_world_size()
    iterations: int = max(1, min(len(loader), math.ceil(len(loader) * len(loader.dataset) / drawn_by_all)))
    return iterations

"""Measures, while training, what each data set contributes to each head, and logs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner

from headweights.contributions.measure import added_up, measured
from headweights.contributions.replay import HeadsOfLosses
from headweights.contributions.sums import Pair, Sums
from headweights.contributions.words import lines, warnings_of
from headweights.mmdet.heads.model_heads import heads_of, unwrapped
from headweights.mmdet.heads.publishing import batch_of
from headweights.mmdet.hooks.captured_step import CapturedStep, can_be_captured, capturing, heads_of_losses
from headweights.provenance.origin import ORIGINS

# Every tenth measurement includes the gradients, which cost more than the losses.
_LOSSES_TO_GRADIENTS = 10


class ContributionHook(Hook):
    """Measures at an interval what each data set contributes to each head, and gives it to the runner's visualizer.

    Between the forward and the backward pass of a training step, the heads run again on its features: once for each data set's
    images alone and without weights, for the raw losses. At every tenth measurement, this includes backward passes for the
    cosines, and the heads run once more for the whole batch with its weights, for the gradient shares. The training is not
    affected.

    Every process takes part in every measurement, whatever its batch holds. The totals are over all processes.

    Args:
        names: Returns the names of the data sets. Called when training has begun.
        target: The data set that the detector is meant for. The hook warns of data sets whose gradients oppose its gradient.
            Default: None, all pairs of data sets.
        interval: Iterations between measurements; 0 for none. Default: None, the logger's.
    """

    priority = "NORMAL"  # before the logger

    def __init__(self, names: Callable[[], Sequence[str]], target: str | None = None, interval: int | None = None) -> None:
        self.names = names
        self.target = target
        self.interval = interval
        self.cosines: dict[Pair, list[float]] = defaultdict(list)
        self._losses: HeadsOfLosses | None = None
        self._listening = ExitStack()
        self._is_measuring = False
        self._measured: Sums | None = None
        self._count = 0

    def before_train(self, runner: Runner) -> None:
        """Finds the interval, and whether the model can be measured."""
        if self.interval is None:
            loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
            self.interval = loggers[0].interval if loggers else 50
        if self.interval and not can_be_captured(unwrapped(runner.model)):
            self._give_up(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Listens to the step if it is one to measure."""
        self._is_measuring = bool(self.interval) and self.every_n_train_iters(runner, self.interval)
        if self._is_measuring:
            scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
            scale = float(scaler.get_scale()) if scaler is not None else 1.0
            self._listening.enter_context(capturing(unwrapped(runner.model), self._measure, scale))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Adds up what the processes measured, and logs it."""
        if not self._is_measuring:
            return
        self._listening.close()
        mine, self._measured = self._measured, None
        if mine is None:
            self._give_up(runner)
            return
        sums = added_up(mine, next(runner.model.parameters()).device)
        for pair, cosine in sums.cosines().items():
            self.cosines[pair].append(cosine)
        entries = sums.entries()
        if entries and is_main_process():
            runner.visualizer.add_scalars({entry.name: value for entry, value in entries.items()}, step=runner.iter + 1)
            for line in lines(entries, self.names(), list(heads_of(unwrapped(runner.model)).book.weighted)):
                runner.logger.info(f"Iter {runner.iter + 1} {line}")

    def after_train(self, runner: Runner) -> None:
        """Warns of data sets whose gradients opposed each other."""
        for warning in warnings_of(self.cosines, self.target):
            runner.logger.warning(warning)

    def _measure(self, step: CapturedStep) -> None:
        """Measures one step in this process."""
        if self._losses is None:
            self._losses = heads_of_losses(step)
        self._measured = measured(
            step,
            batch_of(step.model, step.samples),
            heads_of(step.model).book.terms,
            self._losses,
            images_of(step.samples, self.names()),
            with_gradients=self._count % _LOSSES_TO_GRADIENTS == 0,
        )
        self._count += 1

    def _give_up(self, runner: Runner) -> None:
        runner.logger.info(
            f"headweights: {type(unwrapped(runner.model)).__name__} computes its features inside other models, so what each data "
            "set contributes is not measured."
        )
        self.interval = 0


def images_of(samples: Sequence[Any], names: Sequence[str]) -> dict[str, list[int]]:
    """Returns the indices of each data set's images in a batch. A mixed image counts for the data set with the largest area."""
    images: dict[str, list[int]] = {name: [] for name in names}
    for index, sample in enumerate(samples):
        areas: dict[str | None, float] = defaultdict(float)
        for part in sample.get(ORIGINS) or ():
            areas[part.origin.dataset] += part.share
        largest = max(areas, key=lambda dataset: areas[dataset], default=None)
        if largest in images:
            images[largest].append(index)
    return images

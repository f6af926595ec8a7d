"""Measures, while training, what each data set contributes to each loss."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from headweights.contributions.measure import added_up, measured
from headweights.contributions.sums import Pair, Sums
from headweights.run_record.log_entries import Entry
from headweights.transformers.training.measured_step import MeasuredStep, Recorder
from headweights.transformers.weighting.labels import LabelledBatch
from headweights.transformers.weighting.weigh import Listener, WeighedForward

# Every tenth measurement includes the gradients, which cost more than the losses.
_LOSSES_TO_GRADIENTS = 10
_logger = logging.getLogger("headweights")


class Contributions:
    """Measures steps of a training.

    Between the forward and the backward pass, the losses are computed again from the model's predictions: once for the images of
    each data set alone and without weights, for the raw losses. At every tenth measurement this includes backward passes through
    the model's last layers, for the cosines, and the losses of the whole batch with its weights, for the gradient shares. The
    training is not affected: a measurement that fails is the last one, and a warning says so.

    Every process takes part in every measurement, whatever its batch holds.

    Args:
        names: The names of the data sets.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.cosines: dict[Pair, list[float]] = defaultdict(list)
        self._sums = Sums()
        self._count = 0
        self._has_failed = False

    def listen(self, forward: WeighedForward) -> None:
        """Measures the next batch whose losses are computed."""
        self._sums = Sums()
        if not self._has_failed:
            forward.watch = partial(self._watch, forward)

    def finish(self, device: torch.device) -> dict[Entry, float]:
        """Returns the log entries of the step, over all processes. All of them call it together, each with its device."""
        sums = added_up(self._sums, device)
        for pair, cosine in sums.cosines().items():
            self.cosines[pair].append(cosine)
        return sums.entries()

    def _watch(self, forward: WeighedForward, batch: LabelledBatch) -> Listener:
        forward.watch = None
        batch.listener = recorder = Recorder()
        return partial(self._measure, recorder)

    def _measure(self, recorder: Recorder, model: nn.Module, batch: LabelledBatch, total: Tensor) -> None:
        batch.listener = None
        with_gradients = self._count % _LOSSES_TO_GRADIENTS == 0
        try:
            self._sums = measured(
                MeasuredStep(batch, recorder, total),
                batch,
                batch.losses.book.terms,
                {target: (target, "") for target in batch.losses.book.weighted},
                {name: [image for image, dataset in enumerate(batch.datasets) if dataset == name] for name in self.names},
                with_gradients,
            )
        except Exception as error:  # a training of days does not end because something could not be measured
            self._has_failed = True
            _logger.warning("headweights: what each data set contributes is not measured any more: %s", error, exc_info=True)
            return
        if self._count == 0 and not any(map(len, self._sums.vectors.values())):
            _logger.warning(
                "headweights: the last layers of %s are not found (a compiled model does not show them), so the cosines between "
                "the gradients of data sets are not measured.",
                type(model).__name__,
            )
        self._count += 1

"""Measures, while training, what each data set contributes to each head, and logs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import all_gather_object, all_reduce, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor

from headweights.contributions import GRADIENT_COSINE, Sums, lines, opposing
from headweights.mmdet.batch import Batch
from headweights.mmdet.model import heads_of, unwrapped
from headweights.mmdet.probe import Capture, feature_gradients, heads_of_losses, parameter_gradients, raw_losses
from headweights.origins import ORIGINS

if TYPE_CHECKING:
    from headweights.mmdet.hook import LossWeightHook

# So many measurements of the losses to one of the gradients, which cost more.
_LOSSES_TO_GRADIENTS = 10


class ContributionHook(Hook):
    """Measures at an interval what each data set contributes to each head, and gives it to the runner's visualizer.

    After the losses of a training step are computed, and before its backward pass, the heads run again on the features of that
    step: once for each data set's pictures alone and without weights, for the raw losses; and, at every tenth measurement, with
    their backward passes, for the cosines between the data sets' gradients of a head's parameters, and once for the whole batch
    with its weights, for the shares of the gradient that arrives at the features. The training itself is not touched: the same
    parameters, statistics and random numbers.

    Every rank takes part in every measurement, whatever its batch holds; the sums are over all ranks.

    Args:
        weights: The hook that names the data sets; its ``target`` and ``interval`` (None: the logger's, 0: never) hold here.
    """

    priority = "NORMAL"  # before the logger

    def __init__(self, weights: LossWeightHook) -> None:
        self.weights = weights
        self.interval = weights.interval
        self.cosines: dict[str, list[float]] = defaultdict(list)
        self._heads: dict[str, str] | None = None
        self._capture: Capture | None = None
        self._measured: Sums | None = None
        self._count = 0

    def before_train(self, runner: Runner) -> None:
        """Finds the interval, and whether the model's heads can be measured."""
        if self.interval is None:
            loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
            self.interval = loggers[0].interval if loggers else 50
        if not Capture.is_possible(unwrapped(runner.model)):
            runner.logger.info(
                f"headweights: {type(unwrapped(runner.model)).__name__} computes its features inside other models; what its data "
                "sets contribute is not measured."
            )
            self.interval = 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Listens to the step, where it is time to measure."""
        if self.interval and self.every_n_train_iters(runner, self.interval):
            scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
            scale = float(scaler.get_scale()) if scaler is not None else 1.0
            self._capture = Capture(unwrapped(runner.model), self._measure, scale)
            self._capture.begin()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Adds up what the ranks measured, and logs it."""
        if self._capture is None:
            return
        self._capture.end()
        self._capture, mine, self._measured = None, self._measured, None
        sums = added_up(mine or Sums())
        scalars = sums.scalars()
        for name, value in scalars.items():
            if name.startswith(GRADIENT_COSINE):
                self.cosines[name].append(value)
        if scalars and is_main_process():
            runner.visualizer.add_scalars(scalars, step=runner.iter + 1)
            heads = list(heads_of(unwrapped(runner.model)).book.weighted)
            for line in lines(scalars, self._datasets, heads):
                runner.logger.info(f"Iter {runner.iter + 1} {line}")

    def after_train(self, runner: Runner) -> None:
        """Says in words which data sets' gradients opposed each other."""
        for line in opposing(self.cosines, self.weights.target):
            runner.logger.warning(f"headweights: {line}")

    @property
    def _datasets(self) -> list[str]:
        return [leaf.name for leaf in self.weights.leaves]

    def _measure(self, step: Capture) -> None:
        """Measures one step on this rank."""
        if self._heads is None:
            self._heads = heads_of_losses(step)
        self._measured = measured(step, self._heads, self._datasets, with_gradients=self._count % _LOSSES_TO_GRADIENTS == 0)
        self._count += 1


def dataset_of(sample: Any) -> str | None:
    """The data set that a picture is of; of a mixed one, the data set that most of its area is of."""
    parts = sample.get(ORIGINS)
    return max(parts, key=lambda part: part.share).origin.dataset if parts else None


def measured(step: Capture, heads: dict[str, str], datasets: Sequence[str], with_gradients: bool) -> Sums:
    """What the data sets contribute to one step on this rank.

    Args:
        step: The step.
        heads: Which head computes each loss, by the loss's name.
        datasets: The names of the data sets.
        with_gradients: Whether the gradients are measured too.
    """
    sums = Sums()
    model = heads_of(step.model)
    batch = Batch(model, step.samples)
    images = {name: [number for number, sample in enumerate(step.samples) if dataset_of(sample) == name] for name in datasets}
    vectors: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for dataset, numbers in images.items():
        if not numbers:
            continue
        sums.images[dataset] = len(numbers)
        for head, loss in model.book.terms:
            sums.weights[_term(head, loss), dataset] = _total(batch, head, loss, numbers)
        for name, value in raw_losses(step, numbers).items():
            if name in heads:
                head = heads[name]
                weight = _total(batch, head, _addressable(model.book.weighted[head], name), numbers) / len(numbers)
                total = float(value) * len(numbers)
                sums.losses[f"{head}.{name}", dataset] = total
                sums.weighted[f"{head}.{name}", dataset] = weight * total
        if with_gradients:
            for head, vector in parameter_gradients(step, numbers, heads).items():
                vectors[head][dataset] = vector * len(numbers)
    if with_gradients:
        for head, squared in feature_gradients(step, heads).items():
            for dataset, numbers in images.items():
                if numbers:
                    sums.gradients[head, dataset] = float(squared[numbers].sum())
    # Of every head, not of those that this rank's batch had losses of: all ranks are to meet in the same calls.
    for head in model.book.weighted if with_gradients else ():
        sums.products.update(products_over_ranks(head, vectors[head], step.device))
    return sums


def products_over_ranks(head: str, vectors: Mapping[str, Tensor], device: torch.device) -> dict[tuple[str, str, str], float]:
    """The inner products of the data sets' gradients of a head, each summed over all ranks.

    Args:
        head: The head's path.
        vectors: This rank's, by data set; a rank has those whose pictures it saw.
        device: Where the others' are to be.
    """
    seen = sorted(set().union(*all_gather_object(list(vectors))))
    size = max(all_gather_object(next((len(vector) for vector in vectors.values()), 0)))
    summed = {}
    for dataset in seen:
        summed[dataset] = vectors[dataset].clone() if dataset in vectors else torch.zeros(size, device=device)
        all_reduce(summed[dataset])
    return {(head, one, other): float(torch.dot(summed[one], summed[other])) for one in seen for other in seen if one <= other}


def added_up(mine: Sums) -> Sums:
    """The sums of all ranks. Products are of all ranks already."""
    total = Sums(products=mine.products)
    for of_rank in all_gather_object(mine):
        for name in ("images", "losses", "weighted", "weights", "gradients"):
            into = getattr(total, name)
            for key, value in getattr(of_rank, name).items():
                into[key] += value
    return total


def _term(head: str, loss: str) -> str:
    return f"{head}.{loss}" if loss else head


def _total(batch: Batch, head: str, loss: str, images: Sequence[int]) -> float:
    weights = batch.weights_at(head, loss)
    return float(len(images)) if weights is None else sum(weights[image] for image in images)


def _addressable(losses: Sequence[str], name: str) -> str:
    """The addressable loss that a logged one is of: ``loss_rpn_cls`` and ``d0.loss_cls`` are of ``loss_cls``; else the head's."""
    own = name.split(".")[-1].replace("loss_rpn_", "loss_")
    return own if own in losses else ""

"""Measures what each data set contributes to a training step, and combines the processes of a distributed training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from headweights.batch.batch import Batch
from headweights.contributions.replay import HeadsOfLosses, Replay, feature_gradients, parameter_gradients, raw_losses
from headweights.contributions.sums import Pair, Sums


def measured(
    replay: Replay,
    batch: Batch,
    terms: Sequence[tuple[str, str]],
    losses: HeadsOfLosses,
    images: Mapping[str, Sequence[int]],
    with_gradients: bool,
) -> Sums:
    """Measures a step in this process. With gradients, all processes must call this together.

    Args:
        replay: The step.
        batch: The weights of its images.
        terms: Every (head path, loss) that has a weight of its own, in the same order in all processes.
        losses: The head of each loss.
        images: The indices of each data set's images in the batch.
        with_gradients: Whether to measure the gradients too.

    Returns:
        The sums of this process; only the products are sums over all processes.
    """
    sums = Sums()
    images = {dataset: numbers for dataset, numbers in images.items() if numbers}
    vectors: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for dataset, numbers in images.items():
        sums.images[dataset] = len(numbers)
        weights = {term: _total(batch.image_weights(*term), numbers) for term in {*terms, *losses.values()}}
        for head, loss in terms:
            sums.weights[_name(head, loss), dataset] = weights[head, loss]
        for name, value in raw_losses(replay, numbers).items():
            if name in losses:
                head = losses[name][0]
                key = _name(head, name if name != head else ""), dataset
                sums.losses[key] = float(value) * len(numbers)
                sums.weighted[key] = float(value) * weights[losses[name]]
        if with_gradients:
            for head, vector in parameter_gradients(replay, numbers, losses).items():
                vectors[head][dataset] = vector * len(numbers)
    if with_gradients:
        for head, squared in feature_gradients(replay, losses).items():
            for dataset, numbers in images.items():
                sums.gradients[head, dataset] = float(squared[numbers].sum())
        # For every head, whether or not this process's batch has losses of it: all processes must make the same calls.
        for head in dict.fromkeys(head for head, _ in terms):
            sums.products.update(_products(head, vectors[head], replay.device))
    return sums


def added_up(mine: Sums) -> Sums:
    """Adds up the sums of all processes, except the products, which are sums over all processes already."""
    total = Sums(products=mine.products)
    for of_rank in _gathered(mine):
        for name in ("images", "losses", "weighted", "weights", "gradients"):
            into = getattr(total, name)
            for key, value in getattr(of_rank, name).items():
                into[key] += value
    return total


def _products(head: str, vectors: Mapping[str, Tensor], device: torch.device) -> dict[Pair, float]:
    """Computes the inner products of the data sets' gradients, each summed over all processes.

    A process has the gradients of the data sets whose images it saw; for the others it adds zeros.
    """
    sizes: dict[str, int] = {}
    for of_rank in _gathered({dataset: len(vector) for dataset, vector in vectors.items()}):
        sizes.update(of_rank)
    summed = {}
    for dataset, size in sorted(sizes.items()):
        summed[dataset] = vectors[dataset].clone() if dataset in vectors else torch.zeros(size, device=device)
        if _is_distributed():
            dist.all_reduce(summed[dataset])
    return {
        (head, one, other): float(torch.dot(summed[one], summed[other])) for one in summed for other in summed if one <= other
    }


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _gathered(value: Any) -> list[Any]:
    """The value of every process, in the order of their ranks."""
    if not _is_distributed():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _name(head: str, loss: str) -> str:
    return f"{head}.{loss}" if loss else head


def _total(weights: Sequence[float] | None, images: Sequence[int]) -> float:
    return float(len(images)) if weights is None else sum(weights[image] for image in images)

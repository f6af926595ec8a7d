"""Measures what each data set contributes to a training step, and combines the processes of a distributed training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from headweights.batch.batch import Batch
from headweights.contributions.replay import HeadsOfLosses, Replay, feature_gradients, parameter_gradients, raw_losses
from headweights.contributions.sums import Key, Sums


def measured(
    replay: Replay,
    batch: Batch,
    terms: Sequence[tuple[str, str]],
    losses: HeadsOfLosses,
    images: Mapping[str, Sequence[int]],
    with_gradients: bool,
) -> Sums:
    """Measures a step in this process.

    Args:
        replay: The step.
        batch: The weights of its images.
        terms: Every (head path, loss) that has a weight of its own, in the same order in all processes.
        losses: The head of each loss.
        images: The indices of each data set's images in the batch.
        with_gradients: Whether to measure the gradients too.
    """
    sums = Sums()
    images = {dataset: numbers for dataset, numbers in images.items() if numbers}
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
                sums.vectors[head, dataset] = vector * len(numbers)
    if with_gradients:
        for head, squared in feature_gradients(replay, losses).items():
            for dataset, numbers in images.items():
                sums.gradients[head, dataset] = float(squared[numbers].sum())
    return sums


def added_up(mine: Sums, device: torch.device) -> Sums:
    """Adds up the sums of all processes. All of them call this together, whatever each has measured.

    Args:
        mine: The sums of this process.
        device: Its device.
    """
    total = Sums()
    sizes: dict[Key, int] = {}
    for of_rank, sizes_of_rank in _gathered((replace(mine, vectors={}), {key: len(v) for key, v in mine.vectors.items()})):
        for name in ("images", "losses", "weighted", "weights", "gradients"):
            into = getattr(total, name)
            for key, value in getattr(of_rank, name).items():
                into[key] += value
        sizes.update(sizes_of_rank)
    total.vectors = {key: _summed(mine.vectors.get(key), size, device) for key, size in sizes.items()}
    return total


def _summed(vector: Tensor | None, size: int, device: torch.device) -> Tensor:
    """Sums a vector over all processes. One that has none adds zeros."""
    summed = torch.zeros(size, device=device) if vector is None else vector.clone()
    if _is_distributed():
        dist.all_reduce(summed)
    return summed


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

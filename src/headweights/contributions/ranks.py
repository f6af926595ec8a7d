"""Combines the measurements of the processes of a distributed training. A single process combines nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from headweights.contributions.sums import Pair, Sums


def is_distributed() -> bool:
    """Returns whether there are other processes to combine with."""
    return dist.is_available() and dist.is_initialized()


def gather(value: Any) -> list[Any]:
    """Returns the value of every process, in the order of their ranks."""
    if not is_distributed():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def products_over_ranks(head: str, vectors: Mapping[str, Tensor], device: torch.device) -> dict[Pair, float]:
    """Computes the inner products of the data sets' gradients, each summed over all processes.

    Args:
        head: The head's path.
        vectors: This process's gradients by data set. It has those of the data sets whose images it saw.
        device: The device for the gradients of the others.
    """
    seen = sorted(set().union(*gather(list(vectors))))
    size = max(gather(next((len(vector) for vector in vectors.values()), 0)))
    summed = {}
    for dataset in seen:
        summed[dataset] = vectors[dataset].clone() if dataset in vectors else torch.zeros(size, device=device)
        if is_distributed():
            dist.all_reduce(summed[dataset])
    return {(head, one, other): float(torch.dot(summed[one], summed[other])) for one in seen for other in seen if one <= other}


def added_up(mine: Sums) -> Sums:
    """Adds up the sums of all processes, except the products, which are sums over all processes already."""
    total = Sums(products=mine.products)
    for of_rank in gather(mine):
        for name in ("images", "losses", "weighted", "weights", "gradients"):
            into = getattr(total, name)
            for key, value in getattr(of_rank, name).items():
                into[key] += value
    return total

"""Measures what each data set contributes to a training step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch import Tensor

from headweights.batch.batch import Batch
from headweights.contributions.ranks import products_over_ranks
from headweights.contributions.replay import Replay, feature_gradients, parameter_gradients, raw_losses
from headweights.contributions.sums import Sums


def measured(
    replay: Replay,
    batch: Batch,
    terms: Sequence[tuple[str, str]],
    losses: Mapping[str, tuple[str, str]],
    images: Mapping[str, Sequence[int]],
    with_gradients: bool,
) -> Sums:
    """Measures a step in this process. With gradients, all processes must call this together.

    Args:
        replay: The step.
        batch: The weights of its images.
        terms: Every (head path, loss) that has a weight of its own, in the same order in all processes.
        losses: The head path and the loss of the head for each loss that the model logs.
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
                key = _name(losses[name][0], name), dataset
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
            sums.products.update(products_over_ranks(head, vectors[head], replay.device))
    return sums


def _name(head: str, loss: str) -> str:
    return f"{head}.{loss}" if loss else head


def _total(weights: Sequence[float] | None, images: Sequence[int]) -> float:
    return float(len(images)) if weights is None else sum(weights[image] for image in images)

"""What a head's loss is on each data set, raw and with its weights."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmengine.dataset import pseudo_collate

# The two heads of a Faster R-CNN; the losses of the first begin with `loss_rpn`.
HEADS = ("rpn_head", "roi_head")
BATCH = 8
# So many images of a data set, at most: a mean over more would not look different.
MOST_IMAGES = 96


@dataclass(frozen=True)
class HeadLoss:
    """The loss of one head on one data set.

    Args:
        dataset: Name of the data set.
        head: `rpn_head` or `roi_head`.
        weight: The weight that its images carry for that head, 1 where they carry none.
        raw: The head's loss, classification and boxes, with all weights 1: the mean over batches of this data set.
        weighted: The same with the weights: same images, same flips, same sampled priors and RoIs.
    """

    dataset: str
    head: str
    weight: float
    raw: float
    weighted: float


def losses_by_head(model: TwoStageDetector, datasets: list[Any], seed: int) -> list[HeadLoss]:
    """Runs the loss of `model` on images of each of `datasets`, with their weights and with weights of 1, without gradient.

    Args:
        model: A two-stage detector; its parameters do not change.
        datasets: Training data sets with pipelines; the images of one have the same weights.
        seed: What the random flips and the samplers are seeded with.
    """
    found = []
    for dataset in datasets:
        rows = [_both(model, batch, seed) for batch in _batches(dataset, seed)]
        for head in HEADS:
            weights, raw, weighted = np.mean([row[head] for row in rows], axis=0).tolist()
            found.append(HeadLoss(dataset.metainfo["dataset_name"], head, weights, raw, weighted))
    return found


def _batches(dataset: Any, seed: int) -> Iterator[Any]:
    """Batches of images of `dataset`, all of one size (a last smaller one would have another normaliser)."""
    _seed_everything(seed)
    size = min(BATCH, len(dataset))
    count = min(len(dataset), MOST_IMAGES) // size
    # Drawn before any is used, because what is done in between draws random numbers too.
    return iter([pseudo_collate([dataset[i * size + j] for j in range(size)]) for i in range(count)])


def _both(model: TwoStageDetector, batch: Any, seed: int) -> dict[str, tuple[float, float, float]]:
    """For each head: the mean weight of the images in `batch`, the raw loss and the weighted loss."""
    data = model.data_preprocessor(batch, training=True)
    images, samples = data["inputs"], data["data_samples"]
    weighted = _loss(model, images, samples, seed)
    weights = {head: [float(sample.metainfo.get(f"{head}.loss_weight", 1.0)) for sample in samples] for head in HEADS}
    for sample in samples:
        sample.set_metainfo({f"{head}.loss_weight": 1.0 for head in HEADS})
    raw = _loss(model, images, samples, seed)
    return {head: (float(np.mean(weights[head])), raw[head], weighted[head]) for head in HEADS}


@torch.no_grad()
def _loss(model: TwoStageDetector, images: torch.Tensor, samples: list[Any], seed: int) -> dict[str, float]:
    _seed_everything(seed)
    model.train()
    _, values = model.parse_losses(model(images, samples, mode="loss"))
    sums = dict.fromkeys(HEADS, 0.0)
    for name, value in values.items():
        if name.startswith("loss_"):
            sums["rpn_head" if name.startswith("loss_rpn") else "roi_head"] += float(value)
    return sums


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)

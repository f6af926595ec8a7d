"""The losses that are said to carry weights do: linearly, and per sample."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.models import losses
from torch import Tensor, nn

from headweights.mmdet.weighting.losses import _CARRIERS, carries_weights, multiplied_weight

N, CLASSES = 12, 5
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "CrossEntropyLoss": [{}, {"use_sigmoid": True}, {"class_weight": [1.0, 2.0, 0.5, 1.0, 3.0]}],
    "FocalLoss": [{"use_sigmoid": True}],
    "SeesawLoss": [{"num_classes": CLASSES - 2, "return_dict": False}],
}
BOXES = ("L1", "SmoothL1", "BalancedL1", "MSE", "IoU", "GIoU", "DIoU", "CIoU", "EIoU", "BoundedIoU")


def arguments(name: str) -> tuple[Tensor, Any, Tensor]:
    """Predictions, targets and weights per sample as a head gives them to the loss."""
    generator = torch.Generator().manual_seed(1)
    if name.removesuffix("Loss") in BOXES:
        corner = torch.rand(N, 2, generator=generator) * 10
        boxes = torch.cat([corner, corner + 5 + torch.rand(N, 2, generator=generator)], 1)
        return boxes, boxes + torch.rand(N, 4, generator=generator), torch.rand(N, 4, generator=generator)[:, :1].expand(N, 4)
    if name == "QualityFocalLoss":
        labels = torch.randint(CLASSES, (N,), generator=generator)
        quality = torch.rand(N, generator=generator)
        return torch.randn(N, CLASSES, generator=generator), (labels, quality), torch.rand(N, generator=generator)
    classes = CLASSES - 2 if name == "SeesawLoss" else CLASSES
    targets = torch.randint(classes, (N,), generator=generator)
    return torch.randn(N, CLASSES, generator=generator), targets, torch.rand(N, generator=generator)


CASES = [(carrier, setting) for carrier in _CARRIERS for setting in SETTINGS.get(carrier.__name__, [{}])]


@pytest.mark.parametrize(("carrier", "setting"), CASES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_each_sample_counts_by_its_weight(carrier: type[nn.Module], setting: dict[str, Any]) -> None:
    predictions, targets, weights = arguments(carrier.__name__)
    rows = torch.tensor([0.0, 0.3, 5.0]).repeat(N // 3)

    def value(of: Tensor) -> Tensor:
        result: Tensor = carrier(**setting)(
            predictions, targets, weights * (of if weights.ndim == 1 else of[:, None]), avg_factor=7
        )
        return result

    alone = [value(torch.eye(N)[row]) for row in range(N)]
    torch.testing.assert_close(value(rows), sum(row * part for row, part in zip(rows, alone)), rtol=1e-5, atol=1e-6)
    assert carries_weights(carrier(**setting))


@pytest.mark.parametrize("keyword", [False, True])
def test_riding_multiplies_the_weight_that_the_loss_is_called_with_and_only_inside(keyword: bool) -> None:
    loss = losses.CrossEntropyLoss()
    predictions, targets, weights = arguments("CrossEntropyLoss")

    def call(of: Tensor) -> Tensor:
        result: Tensor = (
            loss(predictions, targets, weight=of, avg_factor=3) if keyword else loss(predictions, targets, of, avg_factor=3)
        )
        return result

    rows = torch.rand(N)
    with multiplied_weight(loss, rows):
        inside = call(weights)
    assert torch.equal(inside, call(weights * rows))
    assert not torch.equal(inside, call(weights))
    with multiplied_weight(loss, None):
        assert torch.equal(call(weights), call(weights))


def test_losses_that_use_their_weights_otherwise_are_not_said_to_carry_them() -> None:
    class Own(losses.CrossEntropyLoss):  # type: ignore[misc]
        """May do with its weights what it likes."""

    for loss in (losses.GHMC(), losses.GHMR(), losses.EQLV2Loss(num_classes=3), Own(), nn.Identity()):
        assert not carries_weights(loss)

"""The pixel-gradient oracle: what a weight did, seen from the input pixels and from nowhere inside.

With normalisation layers in eval mode images do not meet before the losses, so the gradient of one head's losses with respect to
an image's pixels is that image's part of the head's loss. A weighted model must give image `i` exactly `w[i]` times what the
stock model gives it. The oracle knows nothing of how weighting is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

LossFilter = Callable[[str], bool]


def summed(losses: Mapping[str, Any], chosen: LossFilter = lambda name: True) -> Tensor:
    """The sum of the losses whose names are chosen: what mmdetection trains on of them."""
    total = torch.zeros(())
    for name, value in losses.items():
        if "loss" in name and chosen(name):
            total = total + (sum(part.sum() for part in value) if isinstance(value, (list, tuple)) else value.sum())
    return total


def losses_of(model: nn.Module, data: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """One loss computation, from the same random state each time."""
    torch.manual_seed(seed)
    losses: dict[str, Any] = model.loss(data["inputs"], data["data_samples"])
    return losses


def pixel_gradients(model: nn.Module, data: Mapping[str, Any], parts: Mapping[str, LossFilter]) -> dict[str, Tensor]:
    """The gradient of each part of the losses with respect to the pixels, shaped like the images."""
    pixels = data["inputs"].detach().clone().requires_grad_(True)
    losses = losses_of(model, {**data, "inputs": pixels})
    gradients = {}
    for part, chosen in parts.items():
        (gradient,) = torch.autograd.grad(summed(losses, chosen), pixels, retain_graph=True)
        gradients[part] = gradient
    return gradients


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest expected value."""
    return float((actual - expected).abs().max() / expected.abs().max())


def assert_scaled(weighted: Tensor, stock: Tensor, weights: Sequence[float], tolerance: float) -> None:
    """Each image's pixel gradient is its weight times stock's; for a weight of 0 it is nothing at all."""
    for image, weight in enumerate(weights):
        assert stock[image].abs().max() > 0, f"image {image} gives stock no gradient: the oracle would see nothing"
        if weight == 0:
            assert weighted[image].abs().max() == 0, f"image {image} weighs 0 and has a gradient"
        else:
            error = relative_error(weighted[image], weight * stock[image])
            assert error <= tolerance, f"image {image}, weight {weight}: relative error {error:.2e} > {tolerance:.0e}"


def parameter_gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of a loss with respect to every parameter that it reaches, by the parameter's name."""
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(named, gradients) if gradient is not None}

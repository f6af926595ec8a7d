"""Computes the losses of a training step again for some of its images: the raw losses and the gradients of each head.

Only what follows the features runs again. Afterwards everything that this changed (running statistics, counters, the state of
the random number generators) is restored.
"""

from __future__ import annotations

import copy
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headweights.batch.current import all_one
from headweights.gating.layouts import map_tensors


@dataclass(eq=False)
class Replay(ABC):
    """A training step whose losses can be computed again.

    Args:
        model: The model.
        heads: Its weighted heads by path.
        images: The number of images in the batch.
        features: The features of the batch, detached: tensors in nested lists, tuples and dicts. Each has one row for each image,
            or several blocks of such rows.
        device: The device of the batch.
        scale: A factor on the losses before they are differentiated, so that half precision can represent the gradients. The
            gradients are divided by it.
    """

    model: nn.Module
    heads: Mapping[str, nn.Module]
    images: int
    features: Any
    device: torch.device
    scale: float

    @abstractmethod
    def losses(self, images: Sequence[int], features: Any = None) -> dict[str, Tensor]:
        """Computes the losses of some images.

        Args:
            images: Their indices in the batch.
            features: Their features. Default: None, those of the step.

        Returns:
            The losses as the model logs them, scalars, by name.
        """

    def features_of(self, images: Sequence[int]) -> Any:
        """Returns the features of some images. A model that repeats its batch has a block of rows for each repetition."""

        def rows(tensor: Tensor) -> Tensor:
            blocks, left_over = divmod(len(tensor), self.images)
            if left_over:
                raise ValueError(f"features with {len(tensor)} rows cannot belong to {self.images} images")
            return tensor[[block * self.images + image for block in range(blocks) for image in images]]

        return map_tensors(self.features, rows)


def raw_losses(replay: Replay, images: Sequence[int]) -> dict[str, Tensor]:
    """Computes the losses that the model would log if the batch held these images only and every weight were 1."""
    with undisturbed(replay.model), all_one(), torch.no_grad():
        return replay.losses(images)


def parameter_gradients(replay: Replay, images: Sequence[int], losses: Mapping[str, tuple[str, str]]) -> dict[str, Tensor]:
    """Computes the gradient of each head's raw losses at the head's own parameters.

    Args:
        replay: The training step.
        images: Indices of the images in the batch.
        losses: The head path and the loss of the head for each loss that the model logs.

    Returns:
        A vector for each head path.
    """
    gradients = {}
    with undisturbed(replay.model), all_one(), torch.enable_grad():
        computed = replay.losses(images)
        for head in _heads(losses):
            parameters = [parameter for parameter in replay.heads[head].parameters() if parameter.requires_grad]
            found = _gradients(_loss_of(head, computed, losses), parameters, replay.scale)
            gradients[head] = torch.cat([gradient.flatten() for gradient in found]) if found else torch.zeros(0)
    return gradients


def feature_gradients(replay: Replay, losses: Mapping[str, tuple[str, str]]) -> dict[str, Tensor]:
    """Computes the squared norm of the gradient that each head's weighted losses send into the features.

    Args:
        replay: The training step.
        losses: The head path and the loss of the head for each loss that the model logs.

    Returns:
        A tensor of shape (images,) for each head path.
    """
    norms = {}
    with undisturbed(replay.model), torch.enable_grad():
        leaves: list[Tensor] = []

        def leaf(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            leaves.append(tensor.detach().requires_grad_(True))
            return leaves[-1].clone()  # some heads write into their features

        computed = replay.losses(range(replay.images), map_tensors(replay.features, leaf))
        for head in _heads(losses):
            squared = [
                gradient.square().flatten(1).sum(1).view(-1, replay.images).sum(0)
                for gradient in _gradients(_loss_of(head, computed, losses), leaves, replay.scale)
            ]
            norms[head] = torch.stack(squared).sum(0)
    return norms


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restores, at the end, the random state and what modules keep from call to call: buffers, counters, histories."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    state_of_numpy, state_of_random = np.random.get_state(), random.getstate()
    kept = [(module, *_kept(module)) for module in model.modules()]
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        np.random.set_state(state_of_numpy)
        random.setstate(state_of_random)
        for module, attributes, buffers in kept:
            module.__dict__.update(attributes)
            module._buffers.update(buffers)


def _kept(module: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor | None]]:
    """Returns what a module keeps from call to call, its plain attributes and its buffers, and puts copies in their place.

    The originals must not be written to, because the graph of the training step refers to them.
    """
    attributes = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, (int, float, Tensor, list, dict))
    }
    for name, value in attributes.items():
        module.__dict__[name] = value.clone() if isinstance(value, Tensor) else copy.copy(value)
    buffers = dict(module._buffers)
    module._buffers.update({name: buffer.clone() for name, buffer in buffers.items() if buffer is not None})
    return attributes, buffers


def _heads(losses: Mapping[str, tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(head for head, _ in losses.values()))


def _loss_of(head: str, computed: Mapping[str, Tensor], losses: Mapping[str, tuple[str, str]]) -> Tensor:
    """Sums the losses of a head."""
    return torch.stack([loss.float() for name, loss in computed.items() if name in losses and losses[name][0] == head]).sum()


def _gradients(loss: Tensor, tensors: Sequence[Tensor], scale: float) -> list[Tensor]:
    """Returns the gradients of a loss as float32, zeros where it has none."""
    if not loss.requires_grad or not tensors:
        return [torch.zeros_like(tensor) for tensor in tensors]
    found = torch.autograd.grad(loss * scale, list(tensors), retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(tensor) if gradient is None else gradient.float() / scale for tensor, gradient in zip(tensors, found)
    ]

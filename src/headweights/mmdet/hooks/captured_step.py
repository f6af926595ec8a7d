"""Captures a training step of a detector, so that its losses can be computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from headweights.contributions.replay import Replay, undisturbed
from headweights.gating.layouts import each_tensor, map_tensors
from headweights.mmdet.heads.model_heads import heads_of, modules_by_path
from headweights.mmdet.heads.weighted_head import WeightedHead
from headweights.patching import replaced

_LOSS_METHODS = ("loss", "loss_by_feat", "loss_and_predict", "loss_and_target")


class CapturedStep(Replay):
    """A training step of a detector.

    Args:
        model: A detector that calls its own ``extract_feat`` once in its ``loss``.
        inputs: The images, shape (images, channels, height, width).
        samples: Their data samples.
        features: What ``extract_feat`` returned.
        scale: See :class:`Replay`. Default: 1.
    """

    model: Any

    def __init__(self, model: nn.Module, inputs: Tensor, samples: Sequence[Any], features: Any, scale: float = 1.0) -> None:
        heads = {path: module for path, module in modules_by_path(model) if isinstance(module, WeightedHead)}
        super().__init__(model, heads, len(samples), map_tensors(features, Tensor.detach), inputs.device, scale)
        self.inputs = inputs
        self.samples = samples

    def losses(self, images: Sequence[int], features: Any = None) -> dict[str, Tensor]:
        given = self.features_of(images) if features is None else features
        with replaced(self.model, "extract_feat", lambda extract, *args, **kwargs: given):
            computed = self.model.loss(self.inputs[list(images)], [self.samples[image] for image in images])
        return {name: _as_logged(value) for name, value in computed.items() if "loss" in name}


def can_be_captured(model: nn.Module) -> bool:
    """Returns whether a model has the methods that a capture listens to."""
    return callable(getattr(model, "extract_feat", None)) and callable(getattr(model, "loss", None))


@contextmanager
def capturing(model: Any, then: Callable[[CapturedStep], None], scale: float = 1.0) -> Iterator[None]:
    """Captures the first step that computes its losses while the block runs.

    Args:
        model: The model; see :class:`CapturedStep`.
        then: Called with the step when its losses are computed, before anything is done with them. It is not called if the model
            does not compute the features of one batch of images in its own ``extract_feat``.
        scale: See :class:`Replay`. Default: 1.
    """
    features: list[Any] = []

    def extracting(extract: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        features.append(extract(*args, **kwargs))
        return features[-1]

    def computing(loss: Callable[..., Any], inputs: Any, samples: Any, *args: Any, **kwargs: Any) -> Any:
        losses = loss(inputs, samples, *args, **kwargs)
        listening.close()
        if features and isinstance(inputs, Tensor):
            then(CapturedStep(model, inputs, list(samples), features[-1], scale))
        return losses

    with ExitStack() as listening:
        listening.enter_context(replaced(model, "extract_feat", extracting))
        listening.enter_context(replaced(model, "loss", computing))
        yield


def heads_of_losses(step: CapturedStep) -> dict[str, tuple[str, str]]:
    """Finds the weighted head that computes each loss that a model logs.

    The losses of each head are multiplied by a number of its own, which is 1. A loss belongs to the head whose number its
    gradient reaches.

    Returns:
        The head's path and the addressable loss, by the name of the logged loss.
    """
    with undisturbed(step.model), torch.enable_grad(), ExitStack() as listening:
        marks = {path: torch.ones((), device=step.device, requires_grad=True) for path in step.heads}
        for path, head in step.heads.items():
            for name in _LOSS_METHODS:
                if callable(getattr(head, name, None)):
                    listening.enter_context(replaced(head, name, _marking(marks[path])))
        addressable = heads_of(step.model).book.weighted
        found = {}
        for name, loss in step.losses(range(step.images)).items():
            if loss.requires_grad:  # else nothing that it depends on trains
                reached = torch.autograd.grad(loss, list(marks.values()), retain_graph=True, allow_unused=True)
                for path, gradient in zip(marks, reached):
                    if gradient is not None:
                        found[name] = path, _addressed(addressable[path], name)
    return found


def _marking(mark: Tensor) -> Callable[..., Any]:
    return lambda method, *args, **kwargs: _marked(method(*args, **kwargs), mark)


def _marked(result: Any, mark: Tensor) -> Any:
    """Multiplies the losses in what a head returns: the tensors in dicts, however nested, whose names contain ``loss``."""
    if isinstance(result, dict):
        return {
            name: each_tensor(value, lambda tensor: tensor * mark)
            if "loss" in name and not isinstance(value, dict)
            else _marked(value, mark)
            for name, value in result.items()
        }
    if type(result) is tuple:  # loss_and_predict returns losses and predictions
        return tuple(_marked(part, mark) for part in result)
    return each_tensor(result, lambda tensor: tensor * mark) if isinstance(result, Tensor) else result  # semantic heads


def _addressed(losses: Sequence[str], name: str) -> str:
    """Returns the loss that the weight of a logged loss is given for: ``loss_cls`` for ``loss_rpn_cls`` and ``d0.loss_cls``.

    It is empty if the logged loss is none of the head's addressable losses and has the weight of the whole head.
    """
    own = name.split(".")[-1].replace("loss_rpn_", "loss_")
    return own if own in losses else ""


def _as_logged(value: Any) -> Tensor:
    """Reduces a loss to a scalar as mmengine's ``parse_losses`` does."""
    mean: Tensor = value.mean() if isinstance(value, Tensor) else sum(part.mean() for part in value)
    return mean

"""Measures what the images of a batch give to each head: losses, gradients at the features, gradients of the head's parameters.

The heads are run again, on the features that the training step computed, with some of the images or all of them. What a run
leaves behind in the model (running statistics, counters, random numbers) is put back.
"""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headweights.mmdet.batch import all_one
from headweights.mmdet.model import WeightedHead, modules_by_path

_LOSS_METHODS = ("loss", "loss_by_feat", "loss_and_predict", "loss_and_target")


class Capture:
    """What one training step gives to its heads: inputs, features and images. A context around the step.

    Args:
        model: A detector that calls its ``extract_feat`` once in its loss.
        then: Called with the capture when the losses are computed and before anything is done with them.
        scale: What losses are multiplied by before they are differentiated, so that half precision holds the gradients.
    """

    def __init__(self, model: Any, then: Callable[[Capture], None], scale: float = 1.0) -> None:
        self.model = model
        self.scale = scale
        self.inputs: Tensor | None = None
        self.features: Any = None
        self.samples: list[Any] = []
        self._then = then
        self._undo: list[Callable[[], None]] = []

    @property
    def device(self) -> torch.device:
        """Where the batch is."""
        assert self.inputs is not None
        return self.inputs.device

    @staticmethod
    def is_possible(model: nn.Module) -> bool:
        """Whether a model computes features of a whole batch in a method of its own, which can be listened to."""
        return callable(getattr(model, "extract_feat", None)) and callable(getattr(model, "loss", None))

    def begin(self) -> None:
        """Listens to the next loss computation."""
        extract, loss = self.model.extract_feat, self.model.loss

        def extracting(*args: Any, **kwargs: Any) -> Any:
            self.features = _each(extract(*args, **kwargs), lambda tensor: tensor)
            return self.features

        def computing(inputs: Any, samples: Any, *args: Any, **kwargs: Any) -> Any:
            losses = loss(inputs, samples, *args, **kwargs)
            self.end()
            if self.features is not None and isinstance(inputs, Tensor):
                self.inputs, self.samples = inputs, list(samples)
                self.features = _each(self.features, Tensor.detach)
                self._then(self)
            return losses

        for name, method in (("extract_feat", extracting), ("loss", computing)):
            self._undo.append(_replaced(self.model, name, method))

    def end(self) -> None:
        """Stops listening; harmless where nobody listens any more."""
        while self._undo:
            self._undo.pop()()

    def losses(self, images: Sequence[int], features: Any = None) -> dict[str, Tensor]:
        """The losses of the model on some images of the batch, by the names it logs them under.

        Args:
            images: Their numbers in the batch.
            features: Theirs, where they are not just to be taken from the batch.
        """
        given = self.features_of(images) if features is None else features
        undo = _replaced(self.model, "extract_feat", lambda *args, **kwargs: given)
        assert self.inputs is not None
        try:
            computed = self.model.loss(self.inputs[list(images)], [self.samples[image] for image in images])
        finally:
            undo()
        return {name: _mean(value) for name, value in computed.items() if "loss" in name}

    def features_of(self, images: Sequence[int]) -> Any:
        """The features of some images; a detector that repeats its batch (TridentNet) has a block for each repetition."""
        count = len(self.samples)

        def rows(tensor: Tensor) -> Tensor:
            blocks, left_over = divmod(len(tensor), count)
            if left_over:
                raise ValueError(f"features of {len(tensor)} rows are not those of {count} images")
            return tensor[[block * count + image for block in range(blocks) for image in images]]

        return _each(self.features, rows)


def raw_losses(step: Capture, images: Sequence[int]) -> dict[str, Tensor]:
    """The losses that the model logs when it sees some images of a batch alone, and nothing weighs."""
    with _undisturbed(step.model), all_one(), torch.no_grad():
        return step.losses(images)


def parameter_gradients(step: Capture, images: Sequence[int], heads: Mapping[str, str]) -> dict[str, Tensor]:
    """The gradient of each head's raw losses on some images in the head's own parameters, one vector a head.

    Args:
        step: The training step.
        images: The images' numbers in the batch.
        heads: Which head computes each loss; see :func:`heads_of_losses`.
    """
    modules = {path: module for path, module in modules_by_path(step.model) if isinstance(module, WeightedHead)}
    gradients = {}
    with _undisturbed(step.model), all_one(), torch.enable_grad():
        losses = step.losses(images)
        for head in dict.fromkeys(heads.values()):
            parameters = [parameter for parameter in modules[head].parameters() if parameter.requires_grad]
            found = _gradients(_summed(losses, heads, head), parameters, step.scale)
            gradients[head] = torch.cat([gradient.flatten() for gradient in found]) if found else torch.zeros(0)
    return gradients


def feature_gradients(step: Capture, heads: Mapping[str, str]) -> dict[str, Tensor]:
    """The squared norm of the gradient that each head's weighted losses send to each image's features, shape (images,)."""
    images = range(len(step.samples))
    norms = {}
    with _undisturbed(step.model), torch.enable_grad():
        leaves: list[Tensor] = []

        def leaf(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            leaves.append(tensor.detach().requires_grad_(True))
            return leaves[-1].clone()  # some necks' users write into their features

        losses = step.losses(images, _each(step.features, leaf))
        for head in dict.fromkeys(heads.values()):
            squared = [
                gradient.square().flatten(1).sum(1).view(-1, len(images)).sum(0)
                for gradient in _gradients(_summed(losses, heads, head), leaves, step.scale)
            ]
            norms[head] = torch.stack(squared).sum(0)
    return norms


def heads_of_losses(step: Capture) -> dict[str, str]:
    """Which weighted head computes each of the losses that a model logs: the head's path by the loss's name.

    Every head's losses are multiplied by a number of the head's own, 1; a loss whose gradient reaches the number is the head's.
    """
    with _undisturbed(step.model), torch.enable_grad(), ExitStack() as stack:
        marks: dict[str, Tensor] = {}
        for path, module in modules_by_path(step.model):
            if isinstance(module, WeightedHead) and path not in marks:
                marks[path] = torch.ones((), device=step.device, requires_grad=True)
                for name in _LOSS_METHODS:
                    if callable(getattr(module, name, None)):
                        stack.callback(_replaced(module, name, _marking(getattr(module, name), marks[path])))
        found = {}
        # Not of detached features alone: a loss of which nothing trains has no head.
        for name, loss in step.losses(range(len(step.samples))).items():
            if loss.requires_grad:
                reached = torch.autograd.grad(loss, list(marks.values()), retain_graph=True, allow_unused=True)
                for path, gradient in zip(marks, reached):
                    if gradient is not None:
                        found[name] = path
    return found


def _marking(method: Callable[..., Any], mark: Tensor) -> Callable[..., Any]:
    def marking(*args: Any, **kwargs: Any) -> Any:
        return _marked(method(*args, **kwargs), mark)

    return marking


def _marked(result: Any, mark: Tensor) -> Any:
    """A head's losses, times a number: the floating point tensors in dicts under names of losses, however nested."""
    if isinstance(result, dict):
        return {
            name: _each(value, lambda tensor: tensor * mark if tensor.requires_grad else tensor)
            if "loss" in name and not isinstance(value, dict)
            else _marked(value, mark)
            for name, value in result.items()
        }
    if isinstance(result, Tensor):  # semantic heads
        return result * mark if result.requires_grad else result
    if type(result) is tuple:  # loss_and_predict: losses and predictions
        return tuple(_marked(part, mark) for part in result)
    return result


def _summed(losses: Mapping[str, Tensor], heads: Mapping[str, str], head: str) -> Tensor:
    return torch.stack([loss.float() for name, loss in losses.items() if heads.get(name) == head]).sum()


def _gradients(loss: Tensor, of: Sequence[Tensor], scale: float) -> list[Tensor]:
    """The gradients of a loss as float32, zeros where it does not reach."""
    if not loss.requires_grad or not of:
        return [torch.zeros_like(tensor) for tensor in of]
    found = torch.autograd.grad(loss * scale, list(of), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(tensor) if gradient is None else gradient.float() / scale for tensor, gradient in zip(of, found)]


def _mean(value: Any) -> Tensor:
    """A loss as ``parse_losses`` logs it."""
    mean: Tensor = value.mean() if isinstance(value, Tensor) else sum(part.mean() for part in value)
    return mean


def _each(value: Any, changed: Callable[[Tensor], Tensor]) -> Any:
    """Nested lists, tuples and dicts with every tensor changed."""
    if isinstance(value, Tensor):
        return changed(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_each(part, changed) for part in value])
    if isinstance(value, dict):
        return {name: _each(part, changed) for name, part in value.items()}
    return value


def _replaced(module: Any, name: str, method: Any) -> Callable[[], None]:
    """Puts a method in place of an object's own; returns what takes it away."""
    before = vars(module).get(name)
    object.__setattr__(module, name, method)
    if before is None:
        return functools.partial(object.__delattr__, module, name)
    return functools.partial(object.__setattr__, module, name, before)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Puts back, at the end, the random state and what the modules keep from call to call: buffers, counters, histories."""
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
    """What a module keeps from call to call, its plain attributes and its buffers; copies take their place meanwhile.

    Not the other way round: the training step's graph refers to these very tensors, and may not see them written to.
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

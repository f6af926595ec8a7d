"""Computes the losses of a training step again, from the predictions of that step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from headweights.contributions.replay import Replay
from headweights.transformers.training.last_layers import last_layers
from headweights.transformers.weighting.criteria import NORMALIZERS, PAIRS
from headweights.transformers.weighting.gated_criterion import LossCall
from headweights.transformers.weighting.labels import LabelledBatch

# Gradients of half precision would vanish without it.
_SCALE_OF_HALVES = 1024.0


class Recorder:
    """Records the calls of the loss methods in a training step, and how much each loss counts in the total.

    It adds a zero to each loss. The gradient of the total at that zero is the loss's coefficient, wherever the model applies it.
    """

    def __init__(self) -> None:
        self.calls: list[LossCall] = []
        self._zeros: list[dict[str, Tensor]] = []
        self.autocast: tuple[bool, torch.dtype] = (False, torch.float32)

    def __call__(self, call: LossCall, losses: Any) -> Any:
        """Records a call and returns its losses."""
        zeros = {
            name: torch.zeros_like(loss, requires_grad=True)
            for name, loss in losses.items()
            if isinstance(loss, Tensor) and loss.requires_grad
        }
        if zeros:
            self.calls.append(call)
            self._zeros.append(zeros)
            device = next(iter(zeros.values())).device.type
            self.autocast = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        return {name: loss + zeros[name] if name in zeros else loss for name, loss in losses.items()}

    def coefficients(self, total: Tensor) -> list[dict[str, float]]:
        """Returns the coefficient of each loss in the total loss, call by call. A loss that is not summed has none."""
        zeros = [zero for of_call in self._zeros for zero in of_call.values()]
        found = iter(torch.autograd.grad(total, zeros, retain_graph=True, allow_unused=True))
        gradients = [{name: next(found) for name in of_call} for of_call in self._zeros]
        return [{name: float(g) for name, g in of_call.items() if g is not None} for of_call in gradients]


class MeasuredStep(Replay):
    """A training step whose losses can be computed again. A loss has the name of its address, and adds up all layers.

    Args:
        batch: The images and what they weigh.
        recorder: What was recorded of the step.
        total: The loss of the step.
    """

    def __init__(self, batch: LabelledBatch, recorder: Recorder, total: Tensor) -> None:
        self.batch = batch
        self.calls = recorder.calls
        self.coefficients = recorder.coefficients(total)
        self.autocast = recorder.autocast
        predictions = [call.predictions for call in self.calls]
        by_target: dict[str, list[Tensor]] = defaultdict(list)
        for call, of_call in zip(self.calls, predictions):
            by_target[call.method.target] += [tensor for tensor in of_call.values() if tensor.requires_grad]
        heads = {target: nn.ParameterList(last_layers(tensors)) for target, tensors in by_target.items()}
        halves = any(tensor.dtype == torch.float16 for tensors in by_target.values() for tensor in tensors)
        criteria = nn.ModuleList(dict.fromkeys(call.compute.__self__ for call in self.calls))  # type: ignore[attr-defined]
        super().__init__(criteria, heads, len(batch), predictions, total.device, _SCALE_OF_HALVES if halves else 1.0)

    def losses(self, images: Sequence[int], features: Any = None) -> dict[str, Tensor]:
        given = self.features_of(images) if features is None else features
        found: dict[str, list[Tensor]] = defaultdict(list)
        enabled, dtype = self.autocast
        with torch.autocast(self.device.type, dtype, enabled):
            for call, coefficients, predictions in zip(self.calls, self.coefficients, given):
                part = call if features is not None else _of_images(call, images, self.images)
                batch = self.batch if features is not None else self.batch.of(images)
                computed = part.with_predictions(predictions).losses(batch)
                found[call.method.target] += [
                    coefficients[name] * loss.float().sum() for name, loss in computed.items() if name in coefficients
                ]
        return {target: torch.stack(losses).sum() for target, losses in found.items() if losses}


def _of_images(call: LossCall, images: Sequence[int], count: int) -> LossCall:
    """Returns a call for some of the images of its batch, as if the batch held no others."""

    def part(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: part(key, entry) for key, entry in value.items()}
        if isinstance(value, Tensor) and value.ndim:
            return value[list(images)] if len(value) == count else value
        if isinstance(value, (list, tuple)) and len(value) == count:
            return [value[image] for image in images]
        return value

    arguments = {name: part(name, value) for name, value in call.arguments.items()}
    pairs, all_pairs = (max(sum(len(queries) for queries, _ in given[PAIRS]), 1) for given in (arguments, call.arguments))
    for name in NORMALIZERS:
        if name in arguments:  # by ratio: in several processes it is no number of pairs
            arguments[name] = arguments[name] * pairs / all_pairs
    return LossCall(call.method, call.compute, arguments)

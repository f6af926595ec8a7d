"""The gradient gate on a head's predictions, on their way into its loss."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from itertools import repeat
from typing import Any

from torch import nn

from headweights.gating.gate import as_tensor
from headweights.gating.layouts import Layout, by_call, first_trained
from headweights.gating.matching import WHOLE, Matching
from headweights.mmdet.heads.publishing import DetectorBatch, current_batch
from headweights.mmdet.heads.weighted_head import NOT_KNOWN, WeightedHead
from headweights.mmdet.matching.samples import BySampler, sampled
from headweights.mmdet.weighting.entry_points import LossMethod, loss_methods_of
from headweights.patching import replaced

# The attributes with which heads switch losses off (the first stage of Cascade RPN does not classify).
_SWITCHES = {"loss_cls": "with_cls", "loss_bbox": "with_reg", "loss_segm": "with_seg_branch", "loss_embedding": "with_corner_emb"}
_SAMPLING_RESULTS = "sampling_results"


class GatedPredictions(WeightedHead):
    """Gates the gradient that comes back through the head's predictions, image by image.

    It is exact for every head whose loss is a sum over images, whatever the loss is. Decisions that the head takes from the
    loss's value stay the same. The values of the losses, and so the log, are those of the stock head.
    """

    @staticmethod
    def fits(head_class: Any) -> bool:
        """Whether it is known where the head's predictions enter its loss."""
        return bool(loss_methods_of(head_class))

    @classmethod
    def namespace(cls, head_class: Any) -> dict[str, Any]:
        """Returns the head's loss methods, behind the gate."""
        entries = loss_methods_of(head_class)
        methods = {}
        for entry in entries:
            method = getattr(head_class, entry.name)
            methods[entry.name] = _gating(method, entry)
            if isinstance(entry.objects, BySampler) and _SAMPLING_RESULTS not in inspect.signature(method).parameters:
                methods["loss_and_target"] = _with_samples(head_class.loss_and_target)
        return methods

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        fed = dict.fromkeys(loss for method in self.loss_methods for loss in method.feeds.values())
        return tuple(loss for loss in fed if getattr(self, _SWITCHES.get(loss, ""), True))

    @property
    def logs_weighted(self) -> bool:
        return False

    @property
    def reason_no_objects(self) -> str | None:
        for method in self.loss_methods:
            reason = method.objects.reason_against(self) if isinstance(method.objects, Matching) else method.objects
            if reason is not None:
                return reason
        return None if self.loss_methods else NOT_KNOWN

    @property
    def losses_with_background(self) -> tuple[str, ...]:
        found = [loss for method in self.loss_methods for loss in method.background]
        return tuple(loss for loss in self.addressable_losses or ("",) if loss in found or (found and not loss))


def _gating(method: Callable[..., Any], entry: LossMethod) -> Callable[..., Any]:
    """A head's own loss method, called with gated predictions."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def gating(self: GatedPredictions, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs)
        arguments = given.arguments
        batch = current_batch(self)
        # A sampler that chooses RoIs by their losses asks for the loss of each RoI, one image at a time. Nothing trains on it.
        if arguments.get("reduction_override") == "none":
            return method(*given.args, **given.kwargs)
        context = entry.gated_by_object(self, arguments, partial(batch.tables, self))
        if context is None:
            subject = f"{type(self).__name__}.{entry.name}"
            entry.gate_by_image(arguments, partial(batch.weights, self), subject, batch.tensor)
            context = _gated_inside(self, entry, batch)
        with context:
            return method(*given.args, **given.kwargs)

    return gating


def _with_samples(method: Callable[..., Any]) -> Callable[..., Any]:
    """``loss_and_target``, which makes its sampling results available to the loss method that it calls."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def with_samples(self: Any, *args: Any, **kwargs: Any) -> Any:
        with sampled(self, signature.bind(self, *args, **kwargs).arguments[_SAMPLING_RESULTS]):
            return method(self, *args, **kwargs)

    return with_samples


@contextmanager
def _gated_inside(head: GatedPredictions, entry: LossMethod, batch: DetectorBatch) -> Iterator[None]:
    """Gates what the loss itself computes with parameters, in modules and methods of the head."""
    weights = batch.weights(head, WHOLE)
    with ExitStack() as stack:
        if weights is not None:
            for name in entry.modules:
                stack.enter_context(_gated_output(getattr(head, name), "forward", by_call, ([weight] for weight in weights)))
            for name, layout in entry.methods.items():
                stack.enter_context(_gated_output(head, name, layout, repeat(weights)))
        yield


def _gated_output(
    owner: nn.Module, method: str, layout: Layout, weights_of_calls: Iterator[Sequence[float]]
) -> AbstractContextManager[None]:
    """Gates what a method returns, call by call."""

    def gate(compute: Any, *args: Any, **kwargs: Any) -> Any:
        output = compute(*args, **kwargs)
        weights, like = next(weights_of_calls), first_trained(output)
        return output if like is None else layout(output, as_tensor(weights, like), {})

    return replaced(owner, method, gate)

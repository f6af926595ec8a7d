"""The gradient gate on a head's predictions, on their way into its loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from headweights.errors import WeightError
from headweights.mmdet.batch import Batch, as_tensor, current_batch
from headweights.mmdet.matching import WHOLE, BySampler, Matching, sampled
from headweights.mmdet.model import NOT_KNOWN, WeightedHead
from headweights.mmdet.seams import Gating, Seam, by_block, by_dimension, by_entry, seams_of

# The attributes by which heads are told not to compute a loss (the first stage of Cascade RPN does not classify).
SWITCHES = {"loss_cls": "with_cls", "loss_bbox": "with_reg", "loss_segm": "with_seg_branch", "loss_embedding": "with_corner_emb"}


class GatedPredictions(WeightedHead):
    """Gates the gradient that comes back through the head's predictions, image by image.

    Exact for every head whose loss is a sum over images, whatever the loss is, and blind to decisions that are taken from the
    loss's value. The losses' values, and so the log, are those of the stock head.
    """

    seams: tuple[Seam, ...] = ()

    @staticmethod
    def fits(head_class: type) -> bool:
        """Whether it is known where the head's predictions enter its loss."""
        return bool(seams_of(head_class))

    @classmethod
    def namespace(cls, head_class: type) -> dict[str, Any]:
        """What the weighted class defines: its seams, and the methods they are on with the gate put before them."""
        seams = seams_of(head_class)
        methods = {seam.method: _gating(head_class, seam) for seam in seams}
        if any(isinstance(seam.objects, BySampler) and not seam.objects.told for seam in seams):
            methods["loss_and_target"] = _keeping_samples(head_class)
        return {"seams": seams, **methods}

    @property
    def reason_no_objects(self) -> str | None:
        for seam in self.seams:
            reason = seam.objects.reason_against(self) if isinstance(seam.objects, Matching) else seam.objects
            if reason is not None:
                return reason
        return None if self.seams else NOT_KNOWN

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        fed = dict.fromkeys(loss for seam in self.seams for loss in seam.feeds.values())
        return tuple(loss for loss in fed if getattr(self, SWITCHES.get(loss, ""), True))


def _gating(head_class: Any, seam: Seam) -> Callable[..., Any]:
    """The head's own loss method, called with gated predictions."""
    method = getattr(head_class, seam.method)
    signature = inspect.signature(method)

    def gating(self: GatedPredictions, *args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(self, *args, **kwargs)
        batch = current_batch(self)
        # A sampler that chooses RoIs by their loss asks for it RoI by RoI, an image at a time: that is no training loss.
        if arguments.arguments.get("reduction_override") == "none":
            return method(*arguments.args, **arguments.kwargs)
        by_object = _tables(self, seam, batch, arguments.arguments)
        if by_object and isinstance(seam.objects, Matching):
            with seam.objects.gated(self, arguments.arguments, by_object):
                return method(*arguments.args, **arguments.kwargs)
        _gate(self, seam, batch, arguments.arguments)
        with _gated_inside(self, seam, batch):
            return method(*arguments.args, **arguments.kwargs)

    gating.__name__ = seam.method
    gating.__doc__ = method.__doc__
    return gating


def _keeping_samples(head_class: Any) -> Callable[..., Any]:
    """``loss_and_target``, which keeps the sampling results for the loss method that it calls."""
    method = head_class.loss_and_target
    signature = inspect.signature(method)

    def keeping(self: Any, *args: Any, **kwargs: Any) -> Any:
        with sampled(self, signature.bind(self, *args, **kwargs).arguments["sampling_results"]):
            return method(self, *args, **kwargs)

    keeping.__name__ = "loss_and_target"
    keeping.__doc__ = method.__doc__
    return keeping


def _predictions(seam: Seam, arguments: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The names of the arguments that are gated, each with a tensor of it."""
    for name, value in arguments.items():
        if name == "self" or name in seam.handed_on or (seam.predictions is not None and name not in seam.predictions):
            continue
        like = _first_trained(value)
        if like is not None:
            yield name, like


def _tables(head: GatedPredictions, seam: Seam, batch: Batch, arguments: Mapping[str, Any]) -> dict[str, list[Tensor]]:
    """What each prediction is weighed by, object by object; empty where its image says it all."""
    if not batch.has_objects:
        return {}
    if not isinstance(seam.objects, Matching):
        batch.tables(head, WHOLE)  # says that it cannot
        return {}
    found = ((name, batch.tables(head, seam.feeds.get(name, WHOLE))) for name, _ in _predictions(seam, arguments))
    inside = ((WHOLE, batch.tables(head, WHOLE)) for _ in seam.methods[:1])
    return {name: tables for name, tables in (*found, *inside) if tables is not None}


def _gate(head: GatedPredictions, seam: Seam, batch: Batch, arguments: dict[str, Any]) -> None:
    """Replaces the predictions among a loss method's arguments by gated ones."""
    for name, like in list(_predictions(seam, arguments)):
        weights = batch.weights(head, seam.feeds.get(name, WHOLE))
        if weights is None:
            continue
        try:
            arguments[name] = seam.otherwise.get(name, seam.gating)(arguments[name], as_tensor(weights, like), arguments)
        except (ValueError, IndexError) as error:
            raise WeightError(
                f"{type(head).__name__}.{seam.method}: the argument {name!r} cannot be told apart by image "
                f"(the batch has {len(batch)}): {error}"
            ) from error


def _first_trained(value: Any) -> Tensor | None:
    """The first tensor in a nested value that a gradient will come back through."""
    if isinstance(value, Tensor):
        return value if value.requires_grad else None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return next((found for found in map(_first_trained, parts) if found is not None), None)


@contextmanager
def _gated_inside(head: GatedPredictions, seam: Seam, batch: Batch) -> Iterator[None]:
    """While inside, gates what is predicted there: by the head itself, and by what only the loss calls and has parameters."""
    weights = batch.weights(head, WHOLE)
    if weights is None:
        yield
        return
    with ExitStack() as stack:
        if seam.predicts_inside:
            stack.callback(_gate_output(head, by_dimension(0), iter([weights])))
        for name in seam.modules:
            stack.callback(_gate_output(getattr(head, name), by_entry, ([weight] for weight in weights)))
        for name in seam.methods:
            stack.callback(_gate_method(head, name, by_block, weights))
        yield


def _gate_output(module: nn.Module, gating: Gating, calls: Iterator[Sequence[float]]) -> Callable[[], None]:
    """Gates what a module returns, with the weights of the first call, the second, ...; returns what takes the gate away."""

    def gate(_: nn.Module, args: Any, output: Any) -> Any:
        weights, like = next(calls), _first_trained(output)
        if like is None:
            return output
        if gating is by_entry:  # a call is an entry
            return by_entry([output], as_tensor(weights, like), {})[0]
        return gating(output, as_tensor(weights, like), {})

    return module.register_forward_hook(gate).remove


def _gate_method(head: nn.Module, name: str, gating: Gating, weights: Sequence[float]) -> Callable[[], None]:
    """Gates what a method of a head returns; returns what takes the gate away."""
    method = getattr(head, name)

    def gated(*args: Any, **kwargs: Any) -> Any:
        output = method(*args, **kwargs)
        like = _first_trained(output)
        return output if like is None else gating(output, as_tensor(weights, like), {})

    object.__setattr__(head, name, gated)
    return lambda: object.__delattr__(head, name)

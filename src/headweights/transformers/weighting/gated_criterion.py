"""Gates predictions on their way into the loss methods of a criterion."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

from headweights.batch.batch import Batch
from headweights.batch.current import published, weighs
from headweights.gating.matching import WeightTables
from headweights.gating.unlabelled import unlabelled_as_background
from headweights.patching import replaced
from headweights.transformers.weighting.criteria import OUTPUTS, PAIRS, LossMethod, MatchedPairs, matched_objects, predictions_of
from headweights.transformers.weighting.labels import LabelledBatch


@dataclass(frozen=True, eq=False)
class LossCall:
    """A call of a loss method.

    Args:
        method: What is known about the method.
        compute: The criterion's own method.
        arguments: What it is called with, by name: stock predictions.
    """

    method: LossMethod
    compute: Callable[..., Any]
    arguments: Mapping[str, Any]

    @property
    def predictions(self) -> dict[str, Any]:
        """The predictions among the arguments that the losses are computed from; none where a layer has none."""
        given = predictions_of(self.arguments)
        return {name: given[name] for name in self.method.predictions or () if given.get(name) is not None}

    def with_predictions(self, predictions: Mapping[str, Any]) -> LossCall:
        """Returns the call with other predictions."""
        if OUTPUTS in self.arguments:
            predictions = {OUTPUTS: {**self.arguments[OUTPUTS], **predictions}}
        return LossCall(self.method, self.compute, {**self.arguments, **predictions})

    def losses(self, batch: Batch) -> Any:
        """Computes the losses, by name, with the predictions behind the gate."""
        predictions = self.predictions
        with _gate(batch, self, predictions), _left_out(batch, self, predictions):
            return self.compute(**self.with_predictions(predictions).arguments)


@contextmanager
def _gate(batch: Batch, call: LossCall, predictions: dict[str, Any]) -> Iterator[None]:
    """Replaces predictions by gated ones. The losses are to be computed inside the context."""
    target = call.method.target

    def tables(loss: str) -> WeightTables | None:
        return batch.weight_tables(target, loss) if batch.has_objects else None

    if not weighs():
        yield
        return
    arguments = {**predictions, PAIRS: call.arguments[PAIRS]}
    context = call.method.gated_by_object(None, arguments, tables)
    if context is None:
        call.method.gate_by_image(arguments, partial(batch.image_weights, target), call.method.name, batch.tensor)
    with ExitStack() as stack:
        if context is not None:
            stack.enter_context(context)
        predictions.update({name: arguments[name] for name in predictions})
        yield


@contextmanager
def _left_out(batch: Batch, call: LossCall, predictions: dict[str, Any]) -> Iterator[None]:
    """Keeps queries without an object from learning that they are of no unlabelled class, also where all weights count as 1."""
    if call.method.classes is None or not batch.has_unlabelled or not predictions:
        yield
        return
    ((name, scores),) = predictions.items()
    if call.method.classes == "softmax":
        unlabelled = batch.unlabelled(scores.shape[-1] - 1, scores)[:, None]
        without_object = torch.stack(matched_objects(call.arguments[PAIRS], scores)) <= 0
        predictions[name] = unlabelled_as_background(scores, unlabelled & without_object[..., None])
        yield
        return
    arguments = {**predictions, PAIRS: call.arguments[PAIRS]}
    with MatchedPairs().gated(None, arguments, {name: batch.class_tables(scores.shape[-1], scores)}):
        predictions[name] = arguments[name]
        yield


@torch.compiler.disable
def gating(forward: Callable[..., Any], criterion: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls a criterion with its loss methods behind the gate, if a batch of labels is published."""
    batch = published()
    # A criterion may call itself for each decoder layer, or call its base class.
    if not isinstance(batch, LabelledBatch) or criterion in batch.computing:
        return forward(criterion, *args, **kwargs)
    batch.is_computed = True
    batch.computing.append(criterion)
    try:
        with ExitStack() as stack:
            for method in batch.losses.methods:
                stack.enter_context(replaced(criterion, method.name, partial(_gated, batch, method)))
            return forward(criterion, *args, **kwargs)
    finally:
        batch.computing.remove(criterion)


def _gated(batch: LabelledBatch, method: LossMethod, compute: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a loss method with gated predictions."""
    function = compute.__func__  # type: ignore[attr-defined]
    _, *names = _signature(function).parameters
    call = LossCall(method, compute, {**dict(zip(names, args)), **kwargs})
    losses = call.losses(batch)
    return losses if batch.listener is None else batch.listener(call, losses)


@lru_cache(maxsize=100)
def _signature(method: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(method)

"""Leaves classes that a data set does not label out of a head's classification loss.

Predictions that are matched to no object are not pushed away from such a class. Independent scores (sigmoid) are gated class by
class. Scores with a background (softmax) are mapped on their way into the loss module
(:func:`headweights.gating.unlabelled.unlabelled_as_background`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mmdet.models import losses
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from torch import Tensor, nn

from headweights.gating.layouts import first_trained
from headweights.gating.matching import Matching
from headweights.gating.unlabelled import unlabelled_as_background
from headweights.mmdet.heads.model_heads import heads_of, modules_by_path
from headweights.mmdet.heads.publishing import DetectorBatch, current_batch
from headweights.mmdet.heads.weighted_head import WeightedHead
from headweights.mmdet.matching.queries import ByLayer
from headweights.mmdet.weighting.anchors import AnchorTargetsWeighted
from headweights.mmdet.weighting.entry_points import MATCHED_ONLY, MINED, LossMethod
from headweights.patching import replaced

_LOSS = "loss_cls"
_ROIS = "rois"
# Losses that add up a term for each sample and class, or for each sample.
_SEPARABLE = (losses.CrossEntropyLoss, losses.FocalLoss, losses.QualityFocalLoss, losses.VarifocalLoss)
_WHY_NOT = {
    "SeesawLoss": "SeesawLoss weighs the push on each class by how often it met the others",
    "GHMC": "GHMC weighs samples by how many of all samples have a similar gradient",
    "EQLV2Loss": "EQLV2Loss weighs classes by the gradients that it collected of all samples",
}
# Samplers of RoIs that choose those with the highest losses.
_MINING = ("OHEMSampler", "ScoreHLRSampler")


@dataclass
class ClassHeads:
    """What the heads of a model can do about classes that are not labelled.

    Args:
        classifying: The losses that can leave them out, as (head path, loss).
        fixed: The reason why a head cannot, by its path.
        agnostic: The heads that tell objects from background and not by class, and their losses that do: an object of a class
            that is not labelled is background there.
    """

    classifying: list[tuple[str, str]] = field(default_factory=list)
    fixed: dict[str, str] = field(default_factory=dict)
    agnostic: list[tuple[str, str]] = field(default_factory=list)


def class_heads(model: nn.Module, classes: int) -> ClassHeads:
    """Returns what the heads of a model can do about classes that are not labelled.

    Args:
        model: The model. Its heads are weighted.
        classes: The number of classes of its data sets.
    """
    heads, found = heads_of(model), ClassHeads()
    modules: dict[str, Any] = {path: module for path, module in modules_by_path(model) if isinstance(module, WeightedHead)}
    mining = _mined_heads(model)
    for path in heads.book.weighted:
        head = modules[path]
        by_scores = "its samples are weighed by their scores" if path in heads.weighed_by_roi_head else None
        reason = by_scores or reason_fixed_classes(head)
        if not any(method.class_scores for method in head.loss_methods):
            continue
        if reason == MATCHED_ONLY or (getattr(head, "num_classes", 1) == 1 and classes > 1):
            backgrounds = heads.book.backgrounds[path]
            found.agnostic += [] if isinstance(backgrounds, str) else [(path, loss) for loss in backgrounds]
        elif path in mining or reason is not None:
            found.fixed[path] = mining.get(path) or str(reason)
        else:
            found.classifying.append((path, _LOSS if _LOSS in heads.book.weighted[path] else ""))
    return found


def reason_fixed_classes(head: Any) -> str | None:
    """Returns why a weighted head cannot leave a class out, as the end of a sentence. None where it can, or has no classes."""
    for method in head.loss_methods:
        scores, objects = method.class_scores, method.objects
        if isinstance(scores, str):
            return scores
        if not scores:
            continue
        reason = objects.reason_against(head) if isinstance(objects, Matching) else objects
        if reason is not None:
            return reason
        loss: Any = getattr(head, _LOSS, None)
        if type(loss) not in _SEPARABLE:
            name = type(loss).__name__
            return _WHY_NOT.get(name, f"it is unknown whether {name} treats the scores of a sample separately")
        if not loss.use_sigmoid:
            return _reason_against_softmax(head, method)
        channels = getattr(getattr(head, "fc_cls", None), "out_features", head.num_classes)
        if channels != head.num_classes:
            return "its sigmoid has a score for the background, which would still rise on objects that nobody labelled"
    return None


def _reason_against_softmax(head: Any, method: LossMethod) -> str | None:
    if getattr(head, "as_two_stage", False):
        return "its encoder has one softmax for objects of all classes"
    if _image_of_rows(head, method, {}) is None:
        return "its softmax is computed where it is unknown which image a prediction belongs to"
    return None


def _mined_heads(model: nn.Module) -> dict[str, str]:
    """The bbox heads whose samples are chosen by their losses, by path, and the reason against leaving classes out."""
    found = {}
    for path, module in modules_by_path(model):
        if isinstance(module, BaseRoIHead):
            samplers = getattr(module, "bbox_sampler", None)
            for number, sampler in enumerate(samplers if isinstance(samplers, list) else [samplers]):
                if type(sampler).__name__ in _MINING:
                    stage = f".{number}" if isinstance(samplers, list) else ""
                    reason = f"{type(sampler).__name__} {MINED.removeprefix('it ')}"
                    found[f"{path}.bbox_head{stage}".lstrip(".")] = reason
    return found


def leaving_out(method: Callable[..., Any], entry: LossMethod, signature: inspect.Signature) -> Callable[..., Any]:
    """Returns a loss method of a weighted head, called so that it leaves out the classes that are not labelled.

    Args:
        method: The method.
        entry: What is known about it.
        signature: Its signature, with the names of its arguments.
    """

    @functools.wraps(method)
    def leaving(self: WeightedHead, *args: Any, **kwargs: Any) -> Any:
        batch = current_batch(self)
        if not batch.has_unlabelled or batch.model.path_of(self) not in batch.in_force.classifying:
            return method(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs)
        # A sampler that chooses RoIs by their losses asks for the loss of each RoI, one image at a time. Nothing trains on it.
        if given.arguments.get("reduction_override") == "none":
            return method(self, *args, **kwargs)
        with _left_out(self, entry, given.arguments, batch):
            return method(*given.args, **given.kwargs)

    return leaving


def _left_out(
    head: Any, entry: LossMethod, arguments: MutableMapping[str, Any], batch: DetectorBatch
) -> AbstractContextManager[None]:
    scores = {name: like for name in entry.class_scores if (like := first_trained(arguments.get(name))) is not None}
    if not scores:  # the head is frozen, or a stage that does not classify
        return nullcontext()
    like = next(iter(scores.values()))
    if not getattr(head, _LOSS).use_sigmoid:
        image_of_rows = _image_of_rows(head, entry, arguments)
        assert image_of_rows is not None
        unlabelled = batch.unlabelled(head.num_classes, like)
        return replaced(getattr(head, _LOSS), "forward", partial(_with_mapped_scores, unlabelled, image_of_rows))
    tables = batch.class_tables(head.num_classes, like)
    assert isinstance(entry.objects, Matching)
    return entry.objects.gated(head, arguments, dict.fromkeys(scores, tables))


def _image_of_rows(head: Any, entry: LossMethod, arguments: Mapping[str, Any]) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Returns what finds the rows of scores in a table by image, (images, ...), when the loss module is called. None: unknown."""
    if entry.name == "loss" and _ROIS in inspect.signature(type(head).loss).parameters:
        return lambda table, scores: table[arguments[_ROIS][:, 0].long()]
    if isinstance(entry.objects, ByLayer) or isinstance(head, AnchorTargetsWeighted):
        return lambda table, scores: table.repeat_interleave(len(scores) // len(table), dim=0)
    return None


def _with_mapped_scores(
    unlabelled: Tensor,
    image_of_rows: Callable[[Tensor, Tensor], Tensor],
    forward: Any,
    scores: Tensor,
    target: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Calls a loss module with the scores of predictions without object mapped. `target` has their class, the background last."""
    without_object = target == scores.shape[1] - 1
    mapped = unlabelled_as_background(scores, image_of_rows(unlabelled, scores) & without_object[:, None])
    return forward(mapped, target, *args, **kwargs)

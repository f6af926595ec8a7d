"""Dense heads: an assigner matches each prior to an object, image by image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from headweights.gating.gate import gate_gradient, gate_gradient_later
from headweights.gating.layouts import each_tensor, gate_each
from headweights.gating.matching import Matching, WeightTables
from headweights.mmdet.matching.listening import ASSIGNER, AssignedObjects, listening_to_assigners
from headweights.mmdet.matching.samples import rows_of_positives
from headweights.patching import replaced


class ByTargets(Matching):
    """Priors that are matched image by image when the head computes its targets. Subclasses know how to listen to it.

    Predictions are lists with one tensor per level: (images, anchors * channels, height, width) or (images, priors, channels).
    """

    @abstractmethod
    def listening(self, head: Any) -> AbstractContextManager[AssignedObjects]:
        """Records the objects that priors are matched to while the context is open."""

    def assigner_of(self, argument: str) -> str:
        """The assigner under which the objects of an argument's priors are recorded."""
        return ASSIGNER

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        with self.listening(head) as assigned:
            for name, of_images in tables.items():
                levels = arguments[name]
                rows = cache(partial(assigned.rows, self.assigner_of(name), of_images, priors_by_level(head, levels)))
                arguments[name] = [each_tensor(level, partial(_gate_level, rows, number)) for number, level in enumerate(levels)]
            yield


@dataclass(frozen=True)
class ByAssigner(ByTargets):
    """Priors that are matched by the head's assigner.

    Args:
        of: For predictions that have an assigner of their own, the head's attribute. Default: whichever assigner the head uses.
        unless: Values of the head's attributes with which it does not use its assigner.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    unless: Mapping[str, Any] = field(default_factory=dict)

    def reason_against(self, head: Any) -> str | None:
        for name, value in self.unless.items():
            if getattr(head, name) == value:
                return f"with {name}={value!r} it does not use its assigner"
        return None

    def assigner_of(self, argument: str) -> str:
        return self.of.get(argument, ASSIGNER)

    def listening(self, head: Any) -> AbstractContextManager[AssignedObjects]:
        return listening_to_assigners(head, tuple(self.of.values()))


class ByAssignerWithPairs(ByAssigner):
    """Priors whose boxes the assigner itself takes, one for each match, because a prior may match several objects (YOLOF).

    These boxes are gated, and not ``bbox_preds``, which they are made from.
    """

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        images = iter(tables.get("bbox_preds", ()))

        def gate(assign: Any, *args: Any, **kwargs: Any) -> Any:
            result, table = assign(*args, **kwargs), next(images, None)
            boxes = result.get_extra_property("pos_predicted_boxes")
            if table is not None and len(boxes):
                # Match by match, the objects in their order.
                objects = torch.arange(len(boxes), device=table.device) % (len(table) - 1)
                # set_extra_property refuses to overwrite.
                result._extra_properties["pos_predicted_boxes"] = gate_gradient(boxes, table[1 + objects])
            return result

        with super().gated(head, arguments, without(tables, "bbox_preds")), replaced(head.assigner, "assign", gate):
            yield


class ByAssignerWithMasks(ByAssigner):
    """Priors whose positive ones predict masks inside the loss, image by image, from features that all of them share.

    The masks are gated, and not ``kernel_preds`` and ``mask_feat``, which they are predicted from.
    """

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        if "kernel_preds" not in tables:  # class scores alone
            with super().gated(head, arguments, tables):
                yield
            return
        rows: list[Tensor] = []

        def hear_samples(loss: Any, feats: Any, kernels: Any, sampling_results: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            rows.extend(map(rows_of_positives, tables["kernel_preds"], sampling_results))
            return loss(feats, kernels, sampling_results, *args, **kwargs)

        def gate(predict: Any, *args: Any, **kwargs: Any) -> Any:
            return gate_each(predict(*args, **kwargs), rows.pop(0))

        with (
            super().gated(head, arguments, without(tables, "kernel_preds", "mask_feat")),
            replaced(head, "loss_mask_by_feat", hear_samples),
            replaced(head, "_mask_predict_by_feat_single", gate),
        ):
            yield


def without(tables: Mapping[str, WeightTables], *names: str) -> dict[str, WeightTables]:
    """Returns the weight tables of all other arguments."""
    return {name: given for name, given in tables.items() if name not in names}


def priors_by_level(head: Any, levels: Sequence[Any]) -> list[int]:
    """Counts the priors of each level, given the predictions of each level."""
    generator = getattr(head, "prior_generator", None) or head.square_anchor_generator  # SABL's anchors
    sizes = []
    for prediction, priors_per_place in zip(levels, generator.num_base_priors):
        while not isinstance(prediction, Tensor):
            prediction = prediction[0]
        shape = prediction.shape
        sizes.append(shape[1] if len(shape) == 3 else shape[2] * shape[3] * priors_per_place)
    return sizes


def as_map(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Arranges the weights of a level's priors so that they broadcast to the level's predictions.

    The priors of a level are ordered by place, row-major; those of one place are ordered as the channels are.

    Args:
        rows: The weights, shape (images, priors), or (images, priors, classes) for class scores.
        shape: The shape of the predictions: (images, anchors * channels, height, width) or (images, priors, channels).
    """
    rows = rows[..., None] if rows.ndim == 2 else rows
    if len(shape) == 3:
        return rows
    images, channels, height, width = shape
    placed = rows.reshape(images, height, width, -1).permute(0, 3, 1, 2)
    return placed.repeat_interleave(channels // placed.shape[1], dim=1)


def _gate_level(rows: Callable[[], Sequence[Tensor]], level: int, prediction: Tensor) -> Tensor:
    """Gates the predictions of a level by the objects of its priors. The backward pass asks for the rows of all levels."""
    shape = prediction.shape  # the gate must not hold the prediction itself
    return gate_gradient_later(prediction, lambda: as_map(rows()[level], shape))

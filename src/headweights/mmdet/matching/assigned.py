"""Dense heads: an assigner matches each prior to an object, image by image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from headweights.gating.gate import gate_gradient, gate_gradient_later
from headweights.gating.layouts import each_tensor, gate_each
from headweights.gating.matching import Matching, WeightTables
from headweights.mmdet.matching.listening import ASSIGNER, AssignedObjects, listening_to_assigners
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
                arguments[name] = _gate_levels(head, assigned, self.assigner_of(name), of_images, arguments[name])
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
        found = [f"{name}={value!r}" for name, value in self.unless.items() if getattr(head, name) == value]
        return f"with {found[0]} it does not use its assigner" if found else None

    def assigner_of(self, argument: str) -> str:
        return self.of.get(argument, ASSIGNER)

    def listening(self, head: Any) -> AbstractContextManager[AssignedObjects]:
        return listening_to_assigners(head, tuple(self.of.values()))


@dataclass(frozen=True)
class ByAssignerWithPairs(ByAssigner):
    """Priors of which the assigner itself takes boxes, one for each match, as a prior may match several objects (YOLOF).

    Args:
        boxes: The argument that the boxes are made from. The boxes are gated, not the argument.
    """

    boxes: str = "bbox_preds"

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        images = iter(tables.get(self.boxes, ()))

        def gate(assign: Any, *args: Any, **kwargs: Any) -> Any:
            result, table = assign(*args, **kwargs), next(images, None)
            boxes = result.get_extra_property("pos_predicted_boxes")
            if table is not None and len(boxes):
                # Match by match, the objects in their order.
                objects = torch.arange(len(boxes), device=table.device) % (len(table) - 1)
                # set_extra_property refuses to overwrite.
                result._extra_properties["pos_predicted_boxes"] = gate_gradient(boxes, table[1 + objects])
            return result

        others = {name: given for name, given in tables.items() if name != self.boxes}
        with super().gated(head, arguments, others), replaced(head.assigner, "assign", gate):
            yield


@dataclass(frozen=True)
class ByAssignerWithMasks(ByAssigner):
    """Priors of which the positive ones predict masks inside the loss, image by image, from features that all of them share.

    Args:
        masks: The arguments that the masks are predicted from. The masks are gated, not the arguments.
    """

    masks: tuple[str, ...] = ("kernel_preds", "mask_feat")

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        of_masks = tables[self.masks[0]]
        rows: list[Tensor] = []

        def hear_samples(loss: Any, feats: Any, kernels: Any, sampling_results: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            rows.extend(table[1 + result.pos_assigned_gt_inds] for table, result in zip(of_masks, sampling_results))
            return loss(feats, kernels, sampling_results, *args, **kwargs)

        def gate(predict: Any, *args: Any, **kwargs: Any) -> Any:
            return gate_each(predict(*args, **kwargs), rows.pop(0))

        with (
            super().gated(head, arguments, {name: given for name, given in tables.items() if name not in self.masks}),
            replaced(head, "loss_mask_by_feat", hear_samples),
            replaced(head, "_mask_predict_by_feat_single", gate),
        ):
            yield


def priors_by_level(head: Any, levels: Sequence[Any]) -> list[int]:
    """Counts the priors of each level, given the predictions of each level."""
    generator = getattr(head, "prior_generator", None) or head.square_anchor_generator  # SABL's anchors
    priors_per_place = generator.num_base_priors
    sizes = []
    for level, prediction in enumerate(levels):
        while not isinstance(prediction, Tensor):
            prediction = prediction[0]
        shape = prediction.shape
        sizes.append(shape[1] if len(shape) == 3 else shape[2] * shape[3] * priors_per_place[level])
    return sizes


def as_map(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Arranges the weights of a level's priors like the level's predictions.

    The priors of a level are ordered by place, row-major; those of one place are ordered as the channels are.

    Args:
        rows: Shape (images, priors).
        shape: The shape of the predictions: (images, anchors * channels, height, width) or (images, priors, channels).

    Returns:
        A tensor that broadcasts to `shape`.
    """
    if len(shape) == 3:
        return rows[..., None]
    images, channels, height, width = shape
    placed = rows.view(images, height, width, -1).permute(0, 3, 1, 2)
    return placed.repeat_interleave(channels // placed.shape[1], dim=1)


def _gate_levels(head: Any, assigned: AssignedObjects, assigner: str, tables: WeightTables, levels: Sequence[Any]) -> list[Any]:
    """Gates the predictions of each level by the objects of their priors."""
    sizes = priors_by_level(head, levels)
    found: list[tuple[Tensor, ...]] = []

    def weights(level: int, shape: Sequence[int]) -> Tensor:
        if not found:
            found.append(assigned.rows(assigner, tables, sizes))
        return as_map(found[0][level], shape)

    def gate(level: int, prediction: Tensor) -> Tensor:
        return gate_gradient_later(prediction, partial(weights, level, prediction.shape))

    return [each_tensor(prediction, partial(gate, level)) for level, prediction in enumerate(levels)]

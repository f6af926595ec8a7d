"""Dense heads of points: points that take the smallest box around them, and points that become boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from headweights.gating.gate import gate_gradient
from headweights.gating.matching import WHOLE, WeightTables
from headweights.mmdet.matching.assigned import ByAssigner, ByTargets, priors_by_level, without
from headweights.mmdet.matching.listening import ASSIGNER, AssignedObjects, listening_to_assigners
from headweights.patching import replaced

# The head's attributes with the assigners of the initial boxes and of the refined boxes.
_STAGES = ("init_assigner", "refine_assigner")


class ByNumberedLabels(ByTargets):
    """Points that take the class of the smallest box around them.

    The targets are computed once more, with the objects' numbers in place of their classes. This is exact if the classes do not
    affect which box a point takes, and if the method draws no random numbers.
    """

    @contextmanager
    def listening(self, head: Any) -> Iterator[AssignedObjects]:
        assigned = AssignedObjects(head)
        first = head.num_classes + 1  # `num_classes` itself is the background

        def hear_targets(targets: Any, gt_instances: Any, *args: Any, **kwargs: Any) -> Any:
            numbered = gt_instances.new()
            labels = gt_instances.labels
            numbered.labels = torch.arange(first, first + len(labels), dtype=labels.dtype, device=labels.device)
            taken = targets(numbered, *args, **kwargs)[0]
            flat = taken if isinstance(taken, Tensor) else torch.cat([level.reshape(-1) for level in taken])
            assigned.add(ASSIGNER, (flat - head.num_classes).clamp(min=0))
            return targets(gt_instances, *args, **kwargs)

        with replaced(head, "_get_targets_single", hear_targets):
            yield assigned


class ByAssignerWithPoints(ByAssigner):
    """Points that become boxes inside the loss, level by level: first the initial points, then the refined ones.

    How points become a box is learnt too, so the boxes are gated and not the points.
    """

    gates_inside = True

    def listening(self, head: Any) -> AbstractContextManager[AssignedObjects]:
        return listening_to_assigners(head, (*self.of.values(), *_STAGES))

    @contextmanager
    def gated(self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]) -> Iterator[None]:
        if WHOLE not in tables:  # class scores alone
            with super().gated(head, arguments, tables):
                yield
            return
        levels = arguments["cls_scores"]
        sizes = priors_by_level(head, levels)
        level_of_call = iter(range(len(levels)))
        next_boxes: list[tuple[int, str]] = []  # level and assigner of the boxes that the loss is about to make

        def hear_level(loss: Any, *args: Any, **kwargs: Any) -> Any:
            level = next(level_of_call)
            next_boxes[:] = [(level, assigner) for assigner in _STAGES]
            return loss(*args, **kwargs)

        def gate(convert: Any, *args: Any, **kwargs: Any) -> Any:
            boxes = convert(*args, **kwargs)
            if not next_boxes:  # these boxes are not for the loss, but for matching the refined ones
                return boxes
            level, assigner = next_boxes.pop(0)
            return gate_gradient(boxes, assigned.rows(assigner, tables[WHOLE], sizes)[level].flatten())

        with (
            self.listening(head) as assigned,
            super().gated(head, arguments, without(tables, WHOLE)),
            replaced(head, "points2bbox", gate),
            replaced(head, "loss_by_feat_single", hear_level),
        ):
            yield

"""Weighted targets of anchor-based dense heads."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from mmdet.models.dense_heads import AnchorHead, RPNHead
from torch import Tensor

from headweights.gating.layouts import gate_each
from headweights.mmdet.heads.publishing import current_batch
from headweights.mmdet.heads.weighted_head import WeightedHead
from headweights.mmdet.matching.assigned import ByAssigner
from headweights.mmdet.matching.listening import ASSIGNER, AssignedObjects
from headweights.mmdet.weighting.losses import carries_weights

# What super() is in the classes that with_weight_per_image builds: a head, to the type checker.
_Head: Any = object

_MATCHING = ByAssigner()


class AnchorTargetsWeighted(WeightedHead, _Head):
    """Weighs each image in the label weights and the box weights of its anchors' targets.

    The sampler counts the head's normaliser (``avg_factor``), so a weight does not change it. A loss that does not carry weights
    (GHM) is gated instead, on the head's predictions.
    """

    @staticmethod
    def fits(head_class: Any) -> bool:
        """Whether the class computes its targets and losses as ``AnchorHead`` does."""
        return (
            issubclass(head_class, AnchorHead)
            and head_class.get_targets is AnchorHead.get_targets
            and head_class.loss_by_feat_single is AnchorHead.loss_by_feat_single
            and head_class.loss_by_feat in (AnchorHead.loss_by_feat, RPNHead.loss_by_feat)
        )

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        return "loss_cls", "loss_bbox"

    @property
    def logs_weighted(self) -> bool:
        return all(carries_weights(getattr(self, loss)) for loss in self.addressable_losses)

    @property
    def reason_no_objects(self) -> str | None:
        return None

    @property
    def losses_with_background(self) -> tuple[str, ...]:
        return tuple(loss for loss in self.addressable_losses if loss == "loss_cls")

    def loss_by_feat(self, cls_scores: list[Tensor], bbox_preds: list[Tensor], *args: Any, **kwargs: Any) -> Any:
        predictions = {"loss_cls": cls_scores, "loss_bbox": bbox_preds}
        batch = current_batch(self, images=len(cls_scores[0]))
        by_object = {}
        for loss, levels in predictions.items():
            if carries_weights(getattr(self, loss)):
                continue
            tables, weights = batch.tables(self, loss), batch.weights(self, loss)
            if tables is not None:
                by_object[loss] = tables
            elif weights is not None:
                predictions[loss] = gate_each(levels, batch.tensor(weights, levels[0]))
        with _MATCHING.gated(self, predictions, by_object) if by_object else nullcontext():
            return super().loss_by_feat(*predictions.values(), *args, **kwargs)

    def get_targets(self, *args: Any, **kwargs: Any) -> Any:
        listening: Any = _MATCHING.listening(self) if current_batch(self).has_objects else nullcontext()
        with listening as assigned:
            targets = super().get_targets(*args, **kwargs)
        if targets is None:
            return None
        labels, label_weights, bbox_targets, bbox_weights, *rest = targets
        label_weights = self._weighted(label_weights, "loss_cls", assigned)
        bbox_weights = self._weighted(bbox_weights, "loss_bbox", assigned)
        return labels, label_weights, bbox_targets, bbox_weights, *rest

    def _weighted(self, levels: list[Tensor], loss: str, assigned: AssignedObjects | None) -> list[Tensor]:
        """The target weights of each level, (images, anchors, ...), times the weight of each anchor's object, else image."""
        if not carries_weights(getattr(self, loss)):
            return levels
        batch = current_batch(self, images=len(levels[0]))
        tables, weights = batch.tables(self, loss), batch.weights(self, loss)
        numbers = [1] * (levels[0].ndim - 2)  # each box has four
        if tables is not None and assigned is not None:
            rows = assigned.rows(ASSIGNER, tables, [level.shape[1] for level in levels])
            factors = [of_level.view(*of_level.shape, *numbers) for of_level in rows]
        elif weights is not None:
            factors = [batch.tensor(weights, levels[0]).view(-1, 1, *numbers)] * len(levels)
        else:
            return levels
        return [level * factor for level, factor in zip(levels, factors)]

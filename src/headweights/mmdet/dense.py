"""Weighted targets of anchor-based dense heads."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import AnchorHead, RPNHead
from torch import Tensor

from headweights.gate import gate_gradient
from headweights.mmdet.batch import as_tensor, current_batch
from headweights.mmdet.losses import carries_weights
from headweights.mmdet.model import WeightedHead

# What super() is in the classes that with_weight_per_image builds: a head, to the type checker.
_Head: Any = object


class AnchorTargetsWeighted(WeightedHead, _Head):
    """Weighs each image in the label weights and the box weights of its anchors' targets.

    The head's normaliser (``avg_factor``) is counted by the sampler, so a weight does not move it. A loss that does not carry
    weights (GHM) is gated instead, on the head's predictions.
    """

    @staticmethod
    def fits(head_class: Any) -> bool:
        """Whether the class computes its targets and its losses as ``AnchorHead`` does."""
        return (
            issubclass(head_class, AnchorHead)
            and head_class.get_targets is AnchorHead.get_targets
            and head_class.loss_by_feat_single is AnchorHead.loss_by_feat_single
            and head_class.loss_by_feat in (AnchorHead.loss_by_feat, RPNHead.loss_by_feat)
        )

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        return "loss_cls", "loss_bbox"

    def loss_by_feat(self, cls_scores: list[Tensor], bbox_preds: list[Tensor], *args: Any, **kwargs: Any) -> Any:
        return super().loss_by_feat(self._gated(cls_scores, "loss_cls"), self._gated(bbox_preds, "loss_bbox"), *args, **kwargs)

    @property
    def logs_weighted(self) -> bool:
        return all(carries_weights(getattr(self, loss)) for loss in self.addressable_losses)

    def _gated(self, levels: list[Tensor], loss: str) -> list[Tensor]:
        weights = current_batch(self, images=len(levels[0])).weights(self, loss)
        if weights is None or carries_weights(getattr(self, loss)):
            return levels
        return [gate_gradient(level, as_tensor(weights, level)) for level in levels]

    def get_targets(self, *args: Any, **kwargs: Any) -> Any:
        targets = super().get_targets(*args, **kwargs)
        if targets is None:
            return None
        labels, label_weights, bbox_targets, bbox_weights, *rest = targets
        return (
            labels,
            self._weighted(label_weights, "loss_cls"),
            bbox_targets,
            self._weighted(bbox_weights, "loss_bbox"),
            *rest,
        )

    def _weighted(self, levels: list[Tensor], loss: str) -> list[Tensor]:
        """The target weights of each level, (images, anchors, ...), times the weight of each image."""
        weights = current_batch(self, images=len(levels[0])).weights(self, loss)
        if weights is None or not carries_weights(getattr(self, loss)):
            return levels
        return [level * as_tensor(weights, level).view(-1, *[1] * (level.ndim - 1)) for level in levels]

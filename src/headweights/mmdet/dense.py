"""Weighted targets of anchor-based dense heads."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from mmdet.models.dense_heads import AnchorHead, RPNHead
from torch import Tensor

from headweights.gate import gate_gradient
from headweights.mmdet.batch import as_tensor, current_batch
from headweights.mmdet.losses import carries_weights
from headweights.mmdet.matching import ByAssigner, Matched
from headweights.mmdet.model import WeightedHead

# What super() is in the classes that with_weight_per_image builds: a head, to the type checker.
_Head: Any = object

_MATCHING = ByAssigner()


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

    @property
    def reason_no_objects(self) -> str | None:
        return None

    def loss_by_feat(self, cls_scores: list[Tensor], bbox_preds: list[Tensor], *args: Any, **kwargs: Any) -> Any:
        predictions = {"loss_cls": cls_scores, "loss_bbox": bbox_preds}
        batch = current_batch(self, images=len(cls_scores[0]))
        tables = {loss: batch.tables(self, loss) for loss in predictions if not carries_weights(getattr(self, loss))}
        by_object = {loss: of_images for loss, of_images in tables.items() if of_images is not None}
        for loss in tables.keys() - by_object.keys():
            predictions[loss] = self._gated(predictions[loss], loss)
        with _MATCHING.gated(self, predictions, by_object) if by_object else nullcontext():
            return super().loss_by_feat(*predictions.values(), *args, **kwargs)

    @property
    def logs_weighted(self) -> bool:
        return all(carries_weights(getattr(self, loss)) for loss in self.addressable_losses)

    def _gated(self, levels: list[Tensor], loss: str) -> list[Tensor]:
        weights = current_batch(self, images=len(levels[0])).weights(self, loss)
        if weights is None:
            return levels
        return [gate_gradient(level, as_tensor(weights, level)) for level in levels]

    def get_targets(self, *args: Any, **kwargs: Any) -> Any:
        listening: Any = _MATCHING.listening(self) if current_batch(self).has_objects else nullcontext()
        with listening as matched:
            targets = super().get_targets(*args, **kwargs)
        if targets is None:
            return None
        labels, label_weights, bbox_targets, bbox_weights, *rest = targets
        return (
            labels,
            self._weighted(label_weights, "loss_cls", matched),
            bbox_targets,
            self._weighted(bbox_weights, "loss_bbox", matched),
            *rest,
        )

    def _weighted(self, levels: list[Tensor], loss: str, matched: Matched | None) -> list[Tensor]:
        """The target weights of each level, (images, anchors, ...), times the weight of each anchor's object or else image."""
        if not carries_weights(getattr(self, loss)):
            return levels
        batch = current_batch(self, images=len(levels[0]))
        tables = batch.tables(self, loss)
        if tables is not None and matched is not None:
            sizes = [level.shape[1] for level in levels]
            rows = matched.rows("assigner", tables, sum(sizes)).split_with_sizes(sizes, dim=1)
            return [level * row.view(*row.shape, *[1] * (level.ndim - 2)) for level, row in zip(levels, rows)]
        weights = batch.weights(self, loss)
        if weights is None:
            return levels
        return [level * as_tensor(weights, level).view(-1, *[1] * (level.ndim - 1)) for level in levels]

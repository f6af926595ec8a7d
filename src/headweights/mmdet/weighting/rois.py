"""Weighted targets of the bbox heads of RoI heads."""

from __future__ import annotations

from typing import Any

from mmdet.models.roi_heads.bbox_heads import BBoxHead
from torch import Tensor, nn

from headweights.gating.gate import gate_gradient
from headweights.mmdet.heads.publishing import current_batch
from headweights.mmdet.heads.weighted_head import WeightedHead
from headweights.mmdet.matching.samples import rows_of_rois, sampled
from headweights.mmdet.weighting.losses import carries_weights, multiplied_weight

# What super() is in the classes that with_weight_per_image builds: a head, to the type checker.
_Head: Any = object


class RoITargetsWeighted(WeightedHead, _Head):
    """Weighs each RoI by its image, in its box weights and in the weights with which the classification loss is called.

    ``BBoxHead.loss`` counts the label weights above 0 for its normaliser, so it must not see a weight of 0. The weights are
    therefore multiplied in when the loss module is called. A loss that does not carry weights (GHM) is gated instead.
    """

    loss_cls: nn.Module
    loss_bbox: nn.Module
    with_cls: bool
    with_reg: bool

    @staticmethod
    def fits(head_class: Any) -> bool:
        """Whether the class computes its targets and losses as ``BBoxHead`` does."""
        return issubclass(head_class, BBoxHead) and all(
            getattr(head_class, method) is getattr(BBoxHead, method) for method in ("get_targets", "loss_and_target", "loss")
        )

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        return (*("loss_cls",) * self.with_cls, *("loss_bbox",) * self.with_reg)

    @property
    def logs_weighted(self) -> bool:
        return all(carries_weights(getattr(self, loss)) for loss in self.addressable_losses)

    @property
    def reason_no_objects(self) -> str | None:
        return None

    @property
    def losses_with_background(self) -> tuple[str, ...]:
        return tuple(loss for loss in self.addressable_losses if loss == "loss_cls")

    def loss_and_target(
        self, cls_score: Tensor, bbox_pred: Tensor, rois: Tensor, sampling_results: list[Any], *args: Any, **kwargs: Any
    ) -> Any:
        current_batch(self, images=len(sampling_results))
        with sampled(self, sampling_results):
            return super().loss_and_target(cls_score, bbox_pred, rois, sampling_results, *args, **kwargs)

    def loss(
        self,
        cls_score: Tensor | None,
        bbox_pred: Tensor | None,
        rois: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        bbox_weights: Tensor,
        reduction_override: str | None = None,
    ) -> Any:
        # A sampler that chooses RoIs by their losses asks for the loss of each RoI, one image at a time. Nothing trains on it.
        cls_rows = box_rows = None
        if reduction_override != "none":
            cls_rows, box_rows = self._row_weights("loss_cls", rois), self._row_weights("loss_bbox", rois)
        if cls_rows is not None and cls_score is not None and not carries_weights(self.loss_cls):
            cls_score, cls_rows = gate_gradient(cls_score, cls_rows), None
        if box_rows is not None and bbox_pred is not None:
            if carries_weights(self.loss_bbox):
                bbox_weights = bbox_weights * box_rows[:, None]
            else:
                bbox_pred = gate_gradient(bbox_pred, box_rows)
        with multiplied_weight(self.loss_cls, cls_rows):
            targets = labels, label_weights, bbox_targets, bbox_weights
            return super().loss(cls_score, bbox_pred, rois, *targets, reduction_override=reduction_override)

    def _row_weights(self, loss: str, rois: Tensor) -> Tensor | None:
        """The weight of each RoI, shape (RoIs,), by its object or else its image; None where all are 1."""
        batch = current_batch(self)
        return rows_of_rois(self, batch.tables(self, loss), batch.weights(self, loss), rois)

"""PISA's RoI head computes a part of its bbox head's loss, so it gates the bbox head's predictions itself.

``PISARoIHead`` (https://arxiv.org/abs/1904.04821) weighs samples by the bbox head's predictions (ISR) and adds a
classification-aware regression loss (CARL) of the same predictions. The gate is put where the RoI head receives the predictions,
before both. So no loss of this bbox head can be addressed on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from headweights.batch.current import published
from headweights.gating.gate import gate_gradient
from headweights.gating.matching import WHOLE
from headweights.mmdet.heads.weighted_head import WeightedHead
from headweights.mmdet.matching.samples import rows_of_rois, sampled

# What super() is in the classes that are built below: a RoI head, to the type checker.
_RoIHead: Any = object


class GatesBBoxHead(_RoIHead):
    """Gates the predictions of the RoI head's bbox head while it computes losses."""

    bbox_head: nn.Module

    def bbox_loss(self, x: tuple[Tensor, ...], sampling_results: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        with sampled(self.bbox_head, sampling_results):
            return super().bbox_loss(x, sampling_results, *args, **kwargs)

    def _bbox_forward(self, x: tuple[Tensor, ...], rois: Tensor) -> dict[str, Any]:
        results: dict[str, Any] = super()._bbox_forward(x, rois)
        batch = published()
        # Without gradients, this is a sampler that looks at the losses of one image.
        if batch is None or not isinstance(self.bbox_head, WeightedHead) or not torch.is_grad_enabled():
            return results
        tables = batch.tables(self.bbox_head, WHOLE, by_roi_head=True)
        weights = batch.weights(self.bbox_head, WHOLE, by_roi_head=True)
        rows = rows_of_rois(self.bbox_head, tables, weights, rois)
        if rows is None:
            return results
        return {**results, **{name: gate_gradient(results[name], rows) for name in ("cls_score", "bbox_pred")}}


def gating_roi_head(roi_head_class: Any) -> type:
    """Returns the subclass of ``PISARoIHead``, or of a subclass of it, that gates its bbox head; registered in ``MODELS``."""
    if issubclass(roi_head_class, GatesBBoxHead):
        return roi_head_class  # type: ignore[no-any-return]
    name = f"{roi_head_class.__name__}WithWeightPerImage"
    known = MODELS.module_dict.get(name)
    if known is not None and known.__bases__ == (GatesBBoxHead, roi_head_class):
        return known  # type: ignore[no-any-return]
    # Weighted classes are pickled as names of this module, which finds them in MODELS.
    namespace = {"__doc__": GatesBBoxHead.__doc__, "__module__": "headweights.mmdet.weighting.subclass"}
    gating = type(name, (GatesBBoxHead, roi_head_class), namespace)
    MODELS.register_module(name=name, module=gating, force=True)
    return gating

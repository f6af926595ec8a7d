"""PISA computes a loss of its bbox head outside of the bbox head: its predictions are gated before both.

``PISARoIHead`` (https://arxiv.org/abs/1904.04821) weighs samples by the head's predictions (ISR) and adds a classification-aware
regression loss (CARL) of the same predictions. All of it is the bbox head's loss, so the gate is put where the RoI head receives
the predictions (see ``ModelHeads.weighed_by_roi_head``), and no loss of it can be addressed apart.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads import PISARoIHead
from torch import Tensor

from headweights.gate import gate_gradient
from headweights.mmdet.batch import as_tensor, published
from headweights.mmdet.matching import WHOLE, sampled, sampled_for, sampled_rows
from headweights.mmdet.model import WeightedHead


def gate_pisa() -> None:
    """Has ``PISARoIHead`` gate its bbox head's predictions while it computes losses; called once, on import."""
    forward = PISARoIHead._bbox_forward
    if not hasattr(forward, "_gates_predictions"):
        gating = _gating(forward)
        gating._gates_predictions = True
        PISARoIHead._bbox_forward = gating
        PISARoIHead.bbox_loss = _keeping_samples(PISARoIHead.bbox_loss)


def _keeping_samples(bbox_loss: Any) -> Any:
    @functools.wraps(bbox_loss)
    def keeping(self: Any, x: tuple[Tensor, ...], sampling_results: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        with sampled(self.bbox_head, sampling_results):
            return bbox_loss(self, x, sampling_results, *args, **kwargs)

    return keeping


def _gating(forward: Any) -> Any:
    @functools.wraps(forward)
    def gating(self: Any, x: tuple[Tensor, ...], rois: Tensor) -> dict[str, Any]:
        results: dict[str, Any] = forward(self, x, rois)
        batch = published()
        # Without gradient it is a sampler that looks at one image's losses.
        if batch is not None and isinstance(self.bbox_head, WeightedHead) and torch.is_grad_enabled():
            tables = batch.tables(self.bbox_head, WHOLE, by_roi_head=True)
            weights = batch.weights(self.bbox_head, WHOLE, by_roi_head=True)
            if tables is not None or weights is not None:
                if tables is not None:
                    rows = sampled_rows(tables, sampled_for(self.bbox_head))
                else:
                    rows = as_tensor(weights or (), rois)[rois[:, 0].long()]
                for name in ("cls_score", "bbox_pred"):
                    results[name] = gate_gradient(results[name], rows)
        return results

    return gating

"""Weighted targets of the DETR family."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

from mmdet.models.dense_heads import DETRHead, DINOHead
from torch import Tensor

from headweights.errors import WeightError
from headweights.mmdet.batch import as_tensor, current_batch
from headweights.mmdet.gated import GatedPredictions
from headweights.mmdet.losses import carries_weights, riding
from headweights.mmdet.matching import MatchedQueries, listening_to_queries
from headweights.mmdet.seams import blocks

_LOSSES = ("loss_cls", "loss_bbox", "loss_iou")


class QueryTargetsWeighted(GatedPredictions):
    """Weighs each query by its image, at the door of the loss: decoder layers, encoder proposals and denoising queries alike.

    The losses are called with all queries of the first image, then all of the second, and so on, whatever their number. Where one
    of the head's losses does not carry weights, the head is gated instead.
    """

    @staticmethod
    def fits(head_class: Any) -> bool:
        """Whether the class computes a layer's losses as ``DETRHead`` does, and denoising queries' as ``DINOHead`` does."""
        return (
            issubclass(head_class, DETRHead)
            and head_class.__name__ != "DDQDETRHead"  # has an auxiliary loss of its own besides
            and head_class.loss_by_feat_single is DETRHead.loss_by_feat_single
            and getattr(head_class, "_loss_dn_single", None) in (None, getattr(DINOHead, "_loss_dn_single", None))
        )

    @classmethod
    def namespace(cls, head_class: Any) -> dict[str, Any]:
        gated = super().namespace(head_class)

        def loss_by_feat(self: QueryTargetsWeighted, *args: Any, **kwargs: Any) -> Any:
            if not self.logs_weighted:
                return gated["loss_by_feat"](self, *args, **kwargs)
            batch = current_batch(self)
            with ExitStack() as stack:
                matched = stack.enter_context(listening_to_queries(self)) if batch.has_objects else None
                for loss in _LOSSES:
                    tables, weights = batch.tables(self, loss), batch.weights(self, loss)
                    if matched is not None and tables is not None:
                        stack.enter_context(riding(getattr(self, loss), partial(_object_rows, matched, tables)))
                    elif weights is not None:
                        rows = partial(_rows, weights)
                        stack.enter_context(riding(getattr(self, loss), rows))
                return head_class.loss_by_feat(self, *args, **kwargs)

        return {**gated, "loss_by_feat": loss_by_feat}

    @property
    def logs_weighted(self) -> bool:
        return all(carries_weights(getattr(self, loss)) for loss in _LOSSES)

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        return _LOSSES if self.logs_weighted else super().addressable_losses


def _object_rows(matched: MatchedQueries, tables: list[Tensor], predictions: Tensor) -> Tensor:
    """The weight of each query that a loss is called with: those of the layer whose queries were matched last."""
    rows = matched.rows(tables, len(matched.heard) - len(tables)).flatten()
    if len(rows) != len(predictions):
        raise WeightError(f"{len(rows)} queries were matched to objects, and a loss was called with {len(predictions)}.")
    return rows


def _rows(weights: tuple[float, ...], predictions: Tensor) -> Tensor:
    """The weight of each query that a loss is called with."""
    return blocks(as_tensor(weights, predictions), len(predictions))

"""Weighted targets of the DETR family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from mmdet.models.dense_heads import DETRHead, DINOHead
from torch import Tensor

from headweights.errors import WeightError
from headweights.gating.gate import as_tensor
from headweights.gating.layouts import blocks
from headweights.gating.matching import MatchedQueries, WeightTables
from headweights.mmdet.heads.publishing import current_batch
from headweights.mmdet.matching.queries import listening_to_queries
from headweights.mmdet.weighting.gated import GatedPredictions
from headweights.mmdet.weighting.losses import carries_weights, multiplied_weight

_LOSSES = ("loss_cls", "loss_bbox", "loss_iou")


class QueryTargetsWeighted(GatedPredictions):
    """Weighs each query by its image when the loss modules are called: decoder layers, encoder proposals and denoising queries.

    The loss modules receive all queries of the first image, then those of the second, and so on, the same number for each. Where
    one of the head's losses does not carry weights, the head is gated instead.
    """

    @staticmethod
    def fits(head_class: Any) -> bool:
        """Whether the class computes a layer's losses as ``DETRHead`` does, and those of denoising queries as ``DINOHead``."""
        return (
            issubclass(head_class, DETRHead)
            and head_class.__name__ != "DDQDETRHead"  # it has an auxiliary loss as well
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
                        stack.enter_context(multiplied_weight(getattr(self, loss), partial(_object_rows, matched, tables)))
                    elif weights is not None:
                        stack.enter_context(multiplied_weight(getattr(self, loss), _image_rows(weights)))
                return head_class.loss_by_feat(self, *args, **kwargs)

        return {**gated, "loss_by_feat": loss_by_feat}

    @property
    def logs_weighted(self) -> bool:
        return all(carries_weights(getattr(self, loss)) for loss in _LOSSES)

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        return _LOSSES if self.logs_weighted else super().addressable_losses


def _object_rows(matched: MatchedQueries, tables: WeightTables, predictions: Tensor) -> Tensor:
    """The weight of each query of a loss call, by its object. The call is for the layer that was matched last."""
    rows = matched.rows(tables).flatten()
    if len(rows) != len(predictions):
        raise WeightError(f"{len(rows)} queries were matched to objects, but a loss was called with {len(predictions)}.")
    return rows


def _image_rows(weights: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """Returns what looks up the weight of each query of a loss call, by its image. Layers with equally many queries share it."""
    by_queries: dict[int, Tensor] = {}

    def rows(predictions: Tensor) -> Tensor:
        queries = len(predictions)
        if queries not in by_queries:
            by_queries[queries] = blocks(as_tensor(weights, predictions), queries)
        return by_queries[queries]

    return rows

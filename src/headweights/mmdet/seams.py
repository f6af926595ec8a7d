"""Where the predictions of each family of heads enter its loss, which image each part of them belongs to, and what they feed.

The table at the end has one row a family. A head is found by its nearest listed ancestor; a row says only what differs from the
rule: whatever requires a gradient on its way into ``loss_by_feat`` belongs to images along its first dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from headweights.errors import WeightError
from headweights.gate import gate_gradient
from headweights.mmdet.matching import (
    ByAssigner,
    ByAssignerWithMasks,
    ByAssignerWithPoints,
    ByLayer,
    ByNumberedLabels,
    ByPositives,
    BySampler,
    Matching,
    each_tensor,
    positive_rows,
    query_rows,
    sampled_rows,
)
from headweights.mmdet.model import NO_OBJECTS, NOT_KNOWN

# Gates a prediction (a tensor, or lists and dicts of them) by one weight an image; the other arguments of the loss method tell
# some of them which image a row belongs to.
Gating: TypeAlias = Callable[[Any, Tensor, Mapping[str, Any]], Any]


def by_dimension(dim: int) -> Gating:
    """Images lie along one dimension of every tensor."""

    def gate(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
        return each_tensor(prediction, lambda tensor: gate_gradient(tensor, weights, dim))

    return gate


def by_layer(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """Decoder layers first, then images: a stacked tensor (layers, images, ...) or a list of tensors (images, ...)."""
    return by_dimension(1 if isinstance(prediction, Tensor) else 0)(prediction, weights, arguments)


def by_entry(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """A list with one entry an image; its tensors have no dimension of images."""
    if isinstance(prediction, Tensor):
        return gate_gradient(prediction, weights) if prediction.requires_grad else prediction
    return type(prediction)(
        [
            each_tensor(entry, lambda tensor, weight=weight: gate_gradient(tensor[None], weight)[0])  # type: ignore[misc]
            for entry, weight in zip(prediction, weights[:, None])
        ]
    )


def by_block(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """Rows come image by image, as many for each image."""

    return each_tensor(prediction, lambda tensor: gate_gradient(tensor, blocks(weights, len(tensor))))


def blocks(weights: Tensor, rows: int) -> Tensor:
    """The weight of each of so many rows that come image by image, as many for each image."""
    of_an_image, left_over = divmod(rows, len(weights))
    if left_over:
        raise WeightError(f"{rows} rows of {len(weights)} images: they cannot be told apart by image.")
    return weights.repeat_interleave(of_an_image)


def by_roi(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
    """A row a RoI; the first column of ``rois`` is its image."""
    rows = weights[arguments["rois"][:, 0].long()]
    return each_tensor(prediction, lambda tensor: gate_gradient(tensor, rows))


def by_sample(which: str, chosen: str | None = None) -> Gating:
    """A row a sampled prior, image by image in the order of ``sampling_results``.

    Args:
        which: ``"priors"`` for all that were sampled, ``"pos_priors"`` for the positive ones.
        chosen: The argument with the rows that the head chose of them, if it did.
    """

    def gate(prediction: Any, weights: Tensor, arguments: Mapping[str, Any]) -> Any:
        counts = [len(getattr(result, which)) for result in arguments["sampling_results"]]
        if len(counts) != len(weights):
            raise WeightError(f"{len(counts)} images were sampled, but the batch that was published has {len(weights)}.")
        rows = torch.cat([weight.expand(count) for weight, count in zip(weights, counts)])
        if chosen is not None:
            rows = rows[arguments[chosen]]
        return each_tensor(prediction, lambda tensor: gate_gradient(tensor, rows))

    return gate


@dataclass(frozen=True)
class Seam:
    """One method of a head where predictions enter the loss.

    Args:
        method: The method's name.
        gating: How its predictions are told apart by image.
        predictions: The arguments that are predictions. Default: all whose tensors require a gradient.
        otherwise: Arguments that are told apart in another way.
        handed_on: Arguments that this loss does not use: they are stored for another head, and are that head's to weigh.
        feeds: Arguments that feed one loss only, and are alone in that: so this loss can be addressed apart.
        modules: Submodules with parameters that the loss itself calls, once an image and in order.
        methods: Methods of the head that use parameters, which the loss itself calls with all images, as many rows for each.
        predicts_inside: Whether the method makes the predictions itself, by calling the head: then its output is gated.
        objects: How its predictions are matched to objects; or why each object cannot have a weight of its own, as the end of a
            sentence.
    """

    method: str = "loss_by_feat"
    gating: Gating = by_dimension(0)  # noqa: RUF009  (a function, not state)
    predictions: Sequence[str] | None = None
    otherwise: Mapping[str, Gating] = field(default_factory=dict)
    handed_on: Sequence[str] = ()
    feeds: Mapping[str, str] = field(default_factory=dict)
    modules: Sequence[str] = ()
    methods: Sequence[str] = ()
    predicts_inside: bool = False
    objects: Matching | str = NOT_KNOWN


_CLS_BOX = {"cls_scores": "loss_cls", "bbox_preds": "loss_bbox"}
_DETR = Seam(
    gating=by_layer,
    otherwise={"enc_cls_scores": by_dimension(0), "enc_bbox_preds": by_dimension(0)},
    feeds={"all_layers_cls_scores": "loss_cls", "enc_cls_scores": "loss_cls"},
    objects=ByLayer(
        {
            "loss_by_feat_single": {"cls_scores": "all_layers_cls_scores", "bbox_preds": "all_layers_bbox_preds"},
            "_loss_dn_single": {"dn_cls_scores": "all_layers_cls_scores", "dn_bbox_preds": "all_layers_bbox_preds"},
        }
    ),
)

# Why some heads cannot give each object a weight of its own.
_HEATMAPS = "its heatmaps are of all objects of a class together"
_BAGS = "an object is a bag of anchors there, and bags overlap"
_LOCATIONS = "its map of locations is of all objects together"
_DENSE = "it trains several dense queries on an object and drops those that overlap"
_CELLS = "a cell of its grid can be trained on several objects"

# Family (by the name of mmdetection's class, as not every version has each) -> its seams. A loss that is missing from `feeds`
# shares its predictions with another (GFL's loss_bbox and loss_dfl) or is computed of several predictions at once (FreeAnchor's
# bags), and cannot be told apart by a gate.
SEAMS: dict[str, tuple[Seam, ...]] = {
    # Dense heads: the rule, and the losses that have a prediction of their own.
    "AnchorHead": (Seam(feeds=_CLS_BOX, objects=ByAssigner()),),
    "AnchorFreeHead": (Seam(feeds=_CLS_BOX),),
    "SSDHead": (Seam(feeds=_CLS_BOX, objects=ByAssigner()),),
    "PISASSDHead": (Seam(objects=ByAssigner()),),
    "PISARetinaHead": (Seam(objects=ByAssigner()),),
    "FreeAnchorRetinaHead": (Seam(objects=_BAGS),),
    "FSAFHead": (Seam(feeds=_CLS_BOX, objects=ByAssigner()),),
    "ATSSHead": (Seam(feeds={**_CLS_BOX, "centernesses": "loss_centerness"}, objects=ByAssigner()),),
    "ATSSVLFusionHead": (Seam(feeds={**_CLS_BOX, "centernesses": "loss_centerness"}, objects=ByAssigner()),),
    "PAAHead": (Seam(feeds={**_CLS_BOX, "iou_preds": "loss_centerness"}, objects=ByAssigner()),),
    "LADHead": (
        Seam(feeds={**_CLS_BOX, "iou_preds": "loss_centerness"}, objects="its teacher matches, and does not say which object to"),
    ),
    "DDODHead": (
        Seam(
            feeds={**_CLS_BOX, "iou_preds": "loss_iou"},
            objects=ByAssigner(of={"cls_scores": "cls_assigner", **dict.fromkeys(("bbox_preds", "iou_preds"), "reg_assigner")}),
        ),
    ),
    "TOODHead": (Seam(feeds=_CLS_BOX, objects=ByAssigner()),),
    "VFNetHead": (
        Seam(feeds={**_CLS_BOX, "bbox_preds_refine": "loss_bbox_refine"}, objects=ByAssigner(unless={"use_atss": False})),
    ),
    "GFLHead": (Seam(feeds={"cls_scores": "loss_cls"}, objects=ByAssigner()),),
    "LDHead": (Seam(feeds={"cls_scores": "loss_cls"}, objects=ByAssigner()),),
    # It may take a prior's box for several objects.
    "YOLOFHead": (Seam(feeds=_CLS_BOX, objects=ByAssigner(pairs=("bbox_preds",))),),
    "GuidedAnchorHead": (Seam(feeds={**_CLS_BOX, "shape_preds": "loss_shape", "loc_preds": "loss_loc"}, objects=_LOCATIONS),),
    "GARPNHead": (Seam(feeds={**_CLS_BOX, "shape_preds": "loss_shape", "loc_preds": "loss_loc"}, objects=_LOCATIONS),),
    "SABLRetinaHead": (Seam(feeds={"cls_scores": "loss_cls"}, objects=ByAssigner()),),
    "StageCascadeRPNHead": (Seam(feeds=_CLS_BOX, objects=ByAssigner()),),
    "FCOSHead": (Seam(feeds={**_CLS_BOX, "centernesses": "loss_centerness"}, objects=ByNumberedLabels()),),
    "FoveaHead": (Seam(feeds=_CLS_BOX, objects=ByNumberedLabels()),),
    # How points become a box is learnt, and used in the loss only: the gate is on the boxes.
    "RepPointsHead": (
        Seam(
            predictions=("cls_scores",),
            methods=("points2bbox",),
            feeds={"cls_scores": "loss_cls"},
            objects=ByAssignerWithPoints(of={"cls_scores": "refine_assigner"}),
        ),
    ),
    # The spread of its centre prior is learnt, and used in the loss only.
    "AutoAssignHead": (Seam(modules=("center_prior",), objects="every object takes part in every location's loss there"),),
    "CenterNetHead": (
        Seam(
            feeds={"center_heatmap_preds": "loss_center_heatmap", "wh_preds": "loss_wh", "offset_preds": "loss_offset"},
            objects=_HEATMAPS,
        ),
    ),
    "CenterNetUpdateHead": (Seam(feeds=_CLS_BOX, objects=_HEATMAPS),),
    "CornerHead": (
        Seam(
            feeds={
                **dict.fromkeys(("tl_heats", "br_heats"), "loss_heatmap"),
                **dict.fromkeys(("tl_embs", "br_embs"), "loss_embedding"),
                **dict.fromkeys(("tl_offs", "br_offs"), "loss_offset"),
            },
            objects=_HEATMAPS,
        ),
    ),
    "CentripetalHead": (
        Seam(
            feeds={
                **dict.fromkeys(("tl_heats", "br_heats"), "loss_heatmap"),
                **dict.fromkeys(("tl_offs", "br_offs"), "loss_offset"),
                **dict.fromkeys(("tl_guiding_shifts", "br_guiding_shifts"), "loss_guiding_shift"),
                **dict.fromkeys(("tl_centripetal_shifts", "br_centripetal_shifts"), "loss_centripetal_shift"),
            },
            objects=_HEATMAPS,
        ),
    ),
    "YOLOXHead": (Seam(feeds={"cls_scores": "loss_cls", "objectnesses": "loss_obj"}, objects=ByAssigner()),),
    "YOLOV3Head": (Seam(objects=ByAssigner()),),
    "RTMDetHead": (Seam(feeds=_CLS_BOX, objects=ByAssigner()),),
    "RTMDetInsHead": (
        Seam(feeds={**_CLS_BOX, "kernel_preds": "loss_mask", "mask_feat": "loss_mask"}, objects=ByAssignerWithMasks()),
    ),
    # Heads of one-stage masks. What the box head stores for the mask head is the mask head's to weigh.
    "YOLACTHead": (Seam(feeds=_CLS_BOX, handed_on=("coeff_preds",), objects=ByAssigner()),),
    "CondInstBboxHead": (
        Seam(feeds={**_CLS_BOX, "centernesses": "loss_centerness"}, handed_on=("param_preds",), objects=ByNumberedLabels()),
    ),
    "YOLACTProtonet": (
        Seam(
            gating=by_entry,
            feeds={"mask_preds": "loss_mask", "segm_preds": "loss_segm"},
            objects="its semantic loss is of all objects together",
        ),
    ),
    "CondInstMaskHead": (Seam(gating=by_entry, feeds={"mask_preds": "loss_mask"}, objects=ByPositives()),),
    "BoxInstMaskHead": (Seam(gating=by_entry, objects=ByPositives()),),
    "SOLOHead": (Seam(feeds={"mlvl_mask_preds": "loss_mask", "mlvl_cls_preds": "loss_cls"}, objects=_CELLS),),
    "DecoupledSOLOHead": (
        Seam(
            feeds={**dict.fromkeys(("mlvl_mask_preds_x", "mlvl_mask_preds_y"), "loss_mask"), "mlvl_cls_preds": "loss_cls"},
            objects=_CELLS,
        ),
    ),
    "SOLOV2Head": (
        Seam(
            feeds={**dict.fromkeys(("mlvl_kernel_preds", "mask_feats"), "loss_mask"), "mlvl_cls_preds": "loss_cls"},
            objects=_CELLS,
        ),
    ),
    # Queries: decoder layers come before images; loss_bbox and loss_iou share the boxes.
    "DETRHead": (_DETR,),
    "DDQDETRHead": (
        replace(_DETR, objects=_DENSE),
        Seam("loss", predictions=("aux_enc_outputs_class", "aux_enc_outputs_coord"), objects=_DENSE),
    ),
    "MaskFormerHead": (
        Seam(
            gating=by_layer,
            feeds={"all_cls_scores": "loss_cls"},
            objects=ByLayer({"_loss_by_feat_single": {"cls_scores": "all_cls_scores", "mask_preds": "all_mask_preds"}}),
        ),
    ),
    # Semantic maps.
    "BaseSemanticHead": (Seam("loss", predictions=(), predicts_inside=True, objects=NO_OBJECTS),),
    "FusedSemanticHead": (Seam("loss", predictions=("mask_preds",), objects=NO_OBJECTS),),
    "GlobalContextHead": (Seam("loss", predictions=("pred",), objects="it classifies the whole picture"),),
    # Heads of RoIs.
    "BBoxHead": (
        Seam(
            "loss", by_roi, feeds={"cls_score": "loss_cls", "bbox_pred": "loss_bbox"}, objects=BySampler(sampled_rows, told=False)
        ),
    ),
    "SABLHead": (Seam("loss", by_roi, feeds={"cls_score": "loss_cls"}, objects=BySampler(sampled_rows, told=False)),),
    "MultiInstanceBBoxHead": (Seam("loss", by_roi, objects="a RoI is matched to several objects at once"),),
    "DIIHead": (Seam("loss_and_target", by_sample("priors"), feeds={"cls_score": "loss_cls"}, objects=BySampler(query_rows)),),
    "FCNMaskHead": (
        Seam("loss_and_target", by_sample("pos_priors"), feeds={"mask_preds": "loss_mask"}, objects=BySampler(positive_rows)),
    ),
    "MaskPointHead": (
        Seam(
            "loss_and_target",
            by_sample("pos_priors"),
            predictions=("point_pred",),
            feeds={"point_pred": "loss_point"},
            objects=BySampler(positive_rows),
        ),
    ),
    "MaskIoUHead": (
        Seam(
            "loss_and_target",
            by_sample("pos_priors"),
            predictions=("mask_iou_pred",),
            feeds={"mask_iou_pred": "loss_mask_iou"},
            objects=BySampler(positive_rows),
        ),
    ),
    "GridHead": (
        Seam(
            "loss",
            by_sample("pos_priors", chosen="sample_idx"),
            predictions=("grid_pred",),
            feeds={"grid_pred": "loss_grid"},
            objects=BySampler(positive_rows, chosen="sample_idx"),
        ),
    ),
}


def seams_of(head_class: type) -> tuple[Seam, ...]:
    """The seams of a head, by its nearest ancestor in the table; none where there is no method that they could be put on.

    A subclass that has a loss method of its own keeps its family's seam but not its addressable losses: what its predictions
    feed is not known. Where the method is none of mmdetection's own, how it matches objects is not known either.
    """
    for ancestor in head_class.__mro__:
        if ancestor.__name__ in SEAMS and ancestor.__module__.startswith("mmdet."):
            return tuple(_of_subclass(head_class, ancestor, seam) for seam in SEAMS[ancestor.__name__])
    return (Seam(),) if callable(getattr(head_class, "loss_by_feat", None)) else ()


def _of_subclass(head_class: type, ancestor: type, seam: Seam) -> Seam:
    if getattr(head_class, seam.method) is getattr(ancestor, seam.method):
        return seam
    of_mmdet = getattr(head_class, seam.method).__module__.startswith("mmdet.")
    return replace(seam, feeds={}, objects=seam.objects if of_mmdet else "it has a loss method of its own")

"""The methods through which the predictions of each family of heads enter its loss.

The table at the end has one row for each family; a head takes the row of its nearest ancestor. A row names only what differs from
the rule: every argument of ``loss_by_feat`` that requires a gradient is a prediction, and its first dimension counts the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from headweights.gating.entry_point import EntryPoint
from headweights.gating.layouts import Layout, by_block, by_dimension, by_entry, by_layer
from headweights.gating.matching import Matching
from headweights.mmdet.heads.weighted_head import NO_OBJECTS, NOT_KNOWN
from headweights.mmdet.matching import samples
from headweights.mmdet.matching.assigned import ByAssigner, ByAssignerWithMasks, ByAssignerWithPairs
from headweights.mmdet.matching.points import ByAssignerWithPoints, ByNumberedLabels
from headweights.mmdet.matching.queries import ByLayer
from headweights.mmdet.matching.samples import ByPositives, BySampler, by_roi, by_sample

_LOSS_CLS = "loss_cls"


@dataclass(frozen=True, kw_only=True)
class LossMethod(EntryPoint):
    """A method of a head through which predictions enter its loss.

    Args:
        name: The method's name.
        modules: Submodules with parameters that the loss itself calls, once for each image and in order.
        methods: Methods of the head that use parameters and that the loss itself calls with all images; the layout of what each
            returns.
        scores: The arguments that are class scores; or why no class can be left out of them, as the end of a sentence. Default:
            those that feed ``loss_cls`` alone.
        background: The losses that learn from predictions that are matched to no object. Default: ``loss_cls``.
        also: Further methods of the head through which predictions enter its loss.
    """

    objects: Matching | str = NOT_KNOWN
    name: str = "loss_by_feat"
    modules: Sequence[str] = ()
    methods: Mapping[str, Layout] = field(default_factory=dict)
    scores: Sequence[str] | str | None = None
    background: Sequence[str] = (_LOSS_CLS,)
    also: Sequence[LossMethod] = ()

    @property
    def class_scores(self) -> Sequence[str] | str:
        """The arguments that are class scores, or why no class can be left out of them."""
        return [name for name, loss in self.feeds.items() if loss == _LOSS_CLS] if self.scores is None else self.scores


# The losses that predictions feed alone.
_CLS = {"cls_scores": "loss_cls"}
_CLS_BOX = {**_CLS, "bbox_preds": "loss_bbox"}
_CENTERNESS = {**_CLS_BOX, "centernesses": "loss_centerness"}
_IOU_AS_CENTERNESS = {**_CLS_BOX, "iou_preds": "loss_centerness"}
_SHAPE = {**_CLS_BOX, "shape_preds": "loss_shape", "loc_preds": "loss_loc"}


def _both_corners(**losses: str) -> dict[str, str]:
    """The loss that each prediction feeds, given without the prefix for its corner, top left or bottom right."""
    return {f"{corner}_{prediction}": loss for prediction, loss in losses.items() for corner in ("tl", "br")}


# Why some heads cannot give each object a weight of its own.
_HEATMAPS = "its heatmaps hold all objects of a class together"
_BAGS = "an object is a bag of anchors, and bags overlap"
_LOCATIONS = "its map of locations holds all objects together"
_TEACHER = "its teacher does the matching and does not report the objects"
_DENSE = "it trains several dense queries on each object and drops overlapping ones"
_CELLS = "a cell of its grid can be trained on several objects"

_PROMPT = "it scores the words of a text, which is an image's own list of classes: leave the class out of the prompt"
_OWN_LOSS = "it has a loss method of its own"

# Why no class can be left out of some heads.
MINED = "it trains only the background with the highest losses, which is where the objects are that nobody labelled"
MATCHED_ONLY = "only predictions that are matched to an object learn a class"

_ASSIGNER = ByAssigner()
_DDOD = ByAssigner(of={"cls_scores": "cls_assigner", "bbox_preds": "reg_assigner", "iou_preds": "reg_assigner"})
_DETR = LossMethod(
    layout=by_layer,
    layouts={"enc_cls_scores": by_dimension(0), "enc_bbox_preds": by_dimension(0)},
    feeds={"all_layers_cls_scores": "loss_cls", "enc_cls_scores": "loss_cls"},
    objects=ByLayer(
        {
            "loss_by_feat_single": {"cls_scores": "all_layers_cls_scores", "bbox_preds": "all_layers_bbox_preds"},
            "_loss_dn_single": {"dn_cls_scores": "all_layers_cls_scores", "dn_bbox_preds": "all_layers_bbox_preds"},
        }
    ),
)
_ROIS = LossMethod(name="loss", layout=by_roi, objects=BySampler(samples.sampled_rows))
_POSITIVES = LossMethod(
    name="loss_and_target", layout=by_sample("pos_priors"), objects=BySampler(samples.positive_rows), background=()
)

# By the name of mmdetection's class, since not every version has all of them. A loss that is missing from `feeds` shares its
# predictions with another one (GFL's loss_bbox and loss_dfl) or is computed from several predictions at once (FreeAnchor's bags).
# A gate cannot weigh it alone.
LOSS_METHODS: dict[str, LossMethod] = {
    # Dense heads follow the rule. Some of their losses have a prediction of their own.
    "AnchorHead": LossMethod(feeds=_CLS_BOX, objects=_ASSIGNER),
    "AnchorFreeHead": LossMethod(feeds=_CLS_BOX),
    "SSDHead": LossMethod(feeds=_CLS_BOX, objects=_ASSIGNER, scores=MINED),
    "PISASSDHead": LossMethod(objects=_ASSIGNER, scores=MINED),
    "PISARetinaHead": LossMethod(objects=_ASSIGNER, scores=("cls_scores",)),
    "FreeAnchorRetinaHead": LossMethod(objects=_BAGS, scores=("cls_scores",)),
    "FSAFHead": LossMethod(feeds=_CLS_BOX, objects=_ASSIGNER),
    "ATSSHead": LossMethod(feeds=_CENTERNESS, objects=_ASSIGNER),
    "ATSSVLFusionHead": LossMethod(feeds=_CENTERNESS, objects=_ASSIGNER, scores=_PROMPT),
    "PAAHead": LossMethod(feeds=_IOU_AS_CENTERNESS, objects=_ASSIGNER),
    "LADHead": LossMethod(feeds=_IOU_AS_CENTERNESS, objects=_TEACHER),
    "DDODHead": LossMethod(feeds={**_CLS_BOX, "iou_preds": "loss_iou"}, objects=_DDOD),
    "TOODHead": LossMethod(feeds=_CLS_BOX, objects=_ASSIGNER),
    "VFNetHead": LossMethod(
        feeds={**_CLS_BOX, "bbox_preds_refine": "loss_bbox_refine"}, objects=ByAssigner(unless={"use_atss": False})
    ),
    "GFLHead": LossMethod(feeds=_CLS, objects=_ASSIGNER),
    "LDHead": LossMethod(feeds=_CLS, objects=_ASSIGNER),
    # It may match the box of one prior to several objects.
    "YOLOFHead": LossMethod(feeds=_CLS_BOX, objects=ByAssignerWithPairs()),
    "GuidedAnchorHead": LossMethod(feeds=_SHAPE, objects=_LOCATIONS),
    "GARPNHead": LossMethod(feeds=_SHAPE, objects=_LOCATIONS),
    "SABLRetinaHead": LossMethod(feeds=_CLS, objects=_ASSIGNER),
    "StageCascadeRPNHead": LossMethod(feeds=_CLS_BOX, objects=_ASSIGNER),
    "FCOSHead": LossMethod(feeds=_CENTERNESS, objects=ByNumberedLabels()),
    "FoveaHead": LossMethod(feeds=_CLS_BOX, objects=ByNumberedLabels()),
    # Points become boxes with a learnt parameter, in the loss only, so the boxes are gated.
    "RepPointsHead": LossMethod(
        predictions=("cls_scores",),
        methods={"points2bbox": by_block},
        feeds=_CLS,
        objects=ByAssignerWithPoints(of={"cls_scores": "refine_assigner"}),
    ),
    # The spread of its centre prior is learnt and is used in the loss only.
    "AutoAssignHead": LossMethod(
        modules=("center_prior",), objects="every object takes part in the loss of every location", scores=("cls_scores",)
    ),
    "CenterNetHead": LossMethod(
        feeds={"center_heatmap_preds": "loss_center_heatmap", "wh_preds": "loss_wh", "offset_preds": "loss_offset"},
        objects=_HEATMAPS,
        scores=("center_heatmap_preds",),
    ),
    "CenterNetUpdateHead": LossMethod(feeds=_CLS_BOX, objects=_HEATMAPS),
    "CornerHead": LossMethod(
        feeds=_both_corners(heats="loss_heatmap", embs="loss_embedding", offs="loss_offset"),
        objects=_HEATMAPS,
        scores=("tl_heats", "br_heats"),
    ),
    "CentripetalHead": LossMethod(
        feeds=_both_corners(
            heats="loss_heatmap",
            offs="loss_offset",
            guiding_shifts="loss_guiding_shift",
            centripetal_shifts="loss_centripetal_shift",
        ),
        objects=_HEATMAPS,
        scores=("tl_heats", "br_heats"),
    ),
    "YOLOXHead": LossMethod(
        feeds={**_CLS, "objectnesses": "loss_obj"}, objects=_ASSIGNER, scores=MATCHED_ONLY, background=("loss_obj",)
    ),
    "YOLOV3Head": LossMethod(objects=_ASSIGNER, scores=MATCHED_ONLY),
    "RTMDetHead": LossMethod(feeds=_CLS_BOX, objects=_ASSIGNER),
    "RTMDetInsHead": LossMethod(
        feeds={**_CLS_BOX, "kernel_preds": "loss_mask", "mask_feat": "loss_mask"}, objects=ByAssignerWithMasks()
    ),
    # One-stage masks. The box head stores predictions for the mask head, which weighs them.
    "YOLACTHead": LossMethod(feeds=_CLS_BOX, handed_on=("coeff_preds",), objects=_ASSIGNER, scores=MINED),
    "CondInstBboxHead": LossMethod(feeds=_CENTERNESS, handed_on=("param_preds",), objects=ByNumberedLabels()),
    "YOLACTProtonet": LossMethod(
        layout=by_entry,
        feeds={"mask_preds": "loss_mask", "segm_preds": "loss_segm"},
        objects="its semantic loss covers all objects together",
    ),
    "CondInstMaskHead": LossMethod(layout=by_entry, feeds={"mask_preds": "loss_mask"}, objects=ByPositives(), background=()),
    "BoxInstMaskHead": LossMethod(layout=by_entry, objects=ByPositives(), background=()),
    "SOLOHead": LossMethod(feeds={"mlvl_mask_preds": "loss_mask", "mlvl_cls_preds": "loss_cls"}, objects=_CELLS),
    "DecoupledSOLOHead": LossMethod(
        feeds={"mlvl_mask_preds_x": "loss_mask", "mlvl_mask_preds_y": "loss_mask", "mlvl_cls_preds": "loss_cls"}, objects=_CELLS
    ),
    "SOLOV2Head": LossMethod(
        feeds={"mlvl_kernel_preds": "loss_mask", "mask_feats": "loss_mask", "mlvl_cls_preds": "loss_cls"}, objects=_CELLS
    ),
    # Queries: decoder layers come before images, and loss_bbox and loss_iou share the boxes.
    "DETRHead": _DETR,
    "GroundingDINOHead": replace(_DETR, feeds={}, scores=_PROMPT),
    "DDQDETRHead": replace(
        _DETR,
        objects=_DENSE,
        also=(LossMethod(name="loss", predictions=("aux_enc_outputs_class", "aux_enc_outputs_coord"), objects=_DENSE),),
    ),
    "MaskFormerHead": LossMethod(
        layout=by_layer,
        feeds={"all_cls_scores": "loss_cls"},
        objects=ByLayer({"_loss_by_feat_single": {"cls_scores": "all_cls_scores", "mask_preds": "all_mask_preds"}}),
    ),
    # Semantic maps. The first kind of head makes its predictions inside its loss.
    "BaseSemanticHead": LossMethod(name="loss", predictions=(), methods={"forward": by_dimension(0)}, objects=NO_OBJECTS),
    "FusedSemanticHead": LossMethod(name="loss", predictions=("mask_preds",), objects=NO_OBJECTS),
    "GlobalContextHead": LossMethod(name="loss", predictions=("pred",), objects="it classifies the whole image"),
    # Heads of RoIs.
    "BBoxHead": replace(_ROIS, feeds={"cls_score": "loss_cls", "bbox_pred": "loss_bbox"}),
    "SABLHead": replace(_ROIS, feeds={"cls_score": "loss_cls"}),
    "MultiInstanceBBoxHead": replace(_ROIS, objects="a RoI is matched to several objects at once", scores=("cls_score",)),
    "DIIHead": LossMethod(
        name="loss_and_target", layout=by_sample("priors"), feeds={"cls_score": "loss_cls"}, objects=BySampler(samples.query_rows)
    ),
    "FCNMaskHead": replace(_POSITIVES, feeds={"mask_preds": "loss_mask"}),
    "MaskPointHead": replace(_POSITIVES, predictions=("point_pred",), feeds={"point_pred": "loss_point"}),
    "MaskIoUHead": replace(_POSITIVES, predictions=("mask_iou_pred",), feeds={"mask_iou_pred": "loss_mask_iou"}),
    "GridHead": LossMethod(
        name="loss",
        layout=by_sample("pos_priors", chosen="sample_idx"),
        predictions=("grid_pred",),
        feeds={"grid_pred": "loss_grid"},
        objects=BySampler(samples.positive_rows, chosen="sample_idx"),
    ),
}


def loss_methods_of(head_class: type) -> tuple[LossMethod, ...]:
    """Returns the methods through which a head's predictions enter its loss, from the row of its nearest ancestor in the table.

    There is none where the head has no such method. A subclass with a loss method of its own keeps the row but not the
    addressable losses, since it is unknown what its predictions feed. Where that method is not one of mmdetection's, it is also
    unknown how it matches objects.
    """
    for ancestor in head_class.__mro__:
        if ancestor.__name__ in LOSS_METHODS and ancestor.__module__.startswith("mmdet."):
            row = LOSS_METHODS[ancestor.__name__]
            return tuple(_of_subclass(head_class, ancestor, method) for method in (row, *row.also))
    unknown = LossMethod(scores="it is unknown which of its predictions are class scores")
    return (unknown,) if callable(getattr(head_class, "loss_by_feat", None)) else ()


def _of_subclass(head_class: type, ancestor: type, method: LossMethod) -> LossMethod:
    own = getattr(head_class, method.name)
    if own is getattr(ancestor, method.name):
        return method
    of_mmdet = own.__module__.startswith("mmdet.")
    if of_mmdet:
        return replace(method, feeds={}, scores=method.class_scores)
    # Masks have no class scores, whoever computes their loss.
    return replace(method, feeds={}, objects=_OWN_LOSS, scores=_OWN_LOSS if method.class_scores else ())

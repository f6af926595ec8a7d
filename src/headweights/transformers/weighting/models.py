"""The model classes of transformers that compute a detection or segmentation loss, and how each is weighted.

A class takes the row of its nearest ancestor. A class without a row is an error, because nobody has tested where its predictions
enter its losses.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import nn

from headweights.errors import WeightError
from headweights.transformers.weighting.criteria import (
    BOXES,
    CLASSES,
    CORNERS,
    MASK_CLASSES,
    MASKS,
    MATCHABILITY,
    QUERY_MASKS,
    SAMPLED_MASKS,
    SOFTMAX_CLASSES,
    TOKENS,
    VARIFOCAL,
    LossMethod,
)
from headweights.weights.addresses import AddressBook, listed

_PACKAGE = "transformers"


@dataclass(frozen=True)
class ModelLosses:
    """The losses of a model class.

    Args:
        criterion: The class that computes them, by its path within ``transformers``.
        methods: The methods that it computes them with.
        unweighted: For each loss that cannot be weighted, the reason.
        takes_labels: Whether the model's ``forward`` takes a dict for each image. Otherwise headweights takes them, as a further
            argument `labels`.
    """

    criterion: str
    methods: Sequence[LossMethod]
    unweighted: Mapping[str, str] = field(default_factory=dict)
    takes_labels: bool = True

    @cached_property
    def book(self) -> AddressBook:
        """The addresses of its losses."""
        shared = {
            loss: f"it is computed from the same predictions as {method.target}, whose weight is that of both"
            for method in self.methods
            for loss in method.losses[1:]
        }
        backgrounds = {method.target: [""] * method.has_background for method in self.methods}
        weighted: dict[str, tuple[str, ...]] = {method.target: () for method in self.methods}
        return AddressBook(weighted, refused={**shared, **self.unweighted}, backgrounds=backgrounds)

    @property
    def classifying(self) -> list[tuple[str, str]]:
        """The losses that score classes, as (head path, loss)."""
        return [(method.target, "") for method in self.methods if method.classes is not None]

    @property
    def fixed_classes(self) -> dict[str, str]:
        """For each loss that scores classes and cannot leave one out, the reason."""
        return {method.target: method.fixed_classes for method in self.methods if method.fixed_classes is not None}

    def criterion_class(self) -> Any:
        """Returns the class of the criterion; imports it if needed."""
        module, _, name = f"{_PACKAGE}.{self.criterion}".rpartition(".")
        return getattr(importlib.import_module(module), name)


def _losses(criterion: str, *methods: LossMethod) -> ModelLosses:
    return ModelLosses(f"loss.{criterion}", methods)


def _with_masks(module: str, criterion: str) -> ModelLosses:
    return ModelLosses(f"models.{module}.modeling_{module}.{criterion}", (MASK_CLASSES, QUERY_MASKS), takes_labels=False)


_DETR = "loss_for_object_detection.ImageLoss"
_DEFORMABLE = "loss_deformable_detr.DeformableDetrImageLoss"
_GROUNDED = "loss_grounding_dino.GroundingDinoImageLoss"
_GROUPED = "loss_lw_detr.LwDetrImageLoss"

WEIGHTED: Mapping[str, ModelLosses] = {
    "DetrForObjectDetection": _losses(_DETR, SOFTMAX_CLASSES, BOXES),
    "DetrForSegmentation": _losses(_DETR, SOFTMAX_CLASSES, BOXES, MASKS),
    "TableTransformerForObjectDetection": _losses(_DETR, SOFTMAX_CLASSES, BOXES),
    "YolosForObjectDetection": _losses(_DETR, SOFTMAX_CLASSES, BOXES),
    "ConditionalDetrForObjectDetection": _losses(_DEFORMABLE, CLASSES, BOXES),
    "ConditionalDetrForSegmentation": _losses(_DEFORMABLE, CLASSES, BOXES, MASKS),
    "DabDetrForObjectDetection": _losses(_DEFORMABLE, CLASSES, BOXES),
    "DeformableDetrForObjectDetection": _losses(_DEFORMABLE, CLASSES, BOXES),
    "GroundingDinoForObjectDetection": _losses(_GROUNDED, TOKENS, BOXES),
    "MMGroundingDinoForObjectDetection": _losses(_GROUNDED, TOKENS, BOXES),
    "RTDetrForObjectDetection": _losses("loss_rt_detr.RTDetrLoss", VARIFOCAL, BOXES),
    "RTDetrV2ForObjectDetection": _losses("loss_rt_detr.RTDetrLoss", VARIFOCAL, BOXES),
    "DFineForObjectDetection": _losses("loss_d_fine.DFineLoss", VARIFOCAL, BOXES, CORNERS),
    "Deimv2ForObjectDetection": _losses("loss_deimv2.Deimv2Loss", MATCHABILITY, BOXES, CORNERS),
    "LwDetrForObjectDetection": _losses(_GROUPED, CLASSES, BOXES),
    "RfDetrForObjectDetection": _losses(_GROUPED, CLASSES, BOXES),
    "RfDetrForInstanceSegmentation": _losses("loss_rf_detr.RfDetrImageLoss", CLASSES, BOXES, SAMPLED_MASKS),
    "MaskFormerForInstanceSegmentation": _with_masks("maskformer", "MaskFormerLoss"),
    "Mask2FormerForUniversalSegmentation": _with_masks("mask2former", "Mask2FormerLoss"),
    "OneFormerForUniversalSegmentation": _with_masks("oneformer", "OneFormerLoss"),
    "EomtForUniversalSegmentation": _with_masks("eomt", "EomtLoss"),
    "EomtDinov3ForUniversalSegmentation": _with_masks("eomt_dinov3", "EomtDinov3Loss"),
}

_NO_LOSS = "transformers computes no training loss for it"
UNWEIGHTED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "OmDetTurboForObjectDetection",
            "OwlViTForObjectDetection",
            "Owlv2ForObjectDetection",
            "PPDocLayoutV2ForObjectDetection",
            "PPDocLayoutV3ForObjectDetection",
            "PPDocLayoutV4ForObjectDetection",
            "PPOCRV5MobileDetForObjectDetection",
            "PPOCRV5ServerDetForObjectDetection",
            "PPOCRV6MediumDetForObjectDetection",
            "PPOCRV6SmallDetForObjectDetection",
            "VideomtForUniversalSegmentation",
        ),
        _NO_LOSS,
    ),
    "DetaForObjectDetection": "it is deprecated, and transformers 5 has it no more",
}

_CONTRASTIVE = "it compares the images of a batch with each other, so it is not a sum over images"


def losses_of(model: nn.Module) -> ModelLosses:
    """Returns the losses of a model.

    Raises:
        WeightError: The model's class cannot be weighted, or is not in the table.
    """
    names = [cls.__name__ for cls in type(model).__mro__ if cls.__module__.startswith(_PACKAGE + ".")]
    for name in names:
        if name in WEIGHTED:
            return _as_configured(WEIGHTED[name], model)
        if name in UNWEIGHTED:
            raise WeightError(f"{name} cannot be weighted: {UNWEIGHTED[name]}.")
    near = difflib.get_close_matches(type(model).__name__, WEIGHTED, n=1, cutoff=0.4)
    raise WeightError(
        f"{type(model).__name__} is no detection or segmentation model of transformers whose losses headweights knows. "
        + (f"Nearest: {near[0]}. " if near else "")
        + f"It weighs {listed(list(WEIGHTED), 4)} (docs/transformers.md), and their subclasses."
    )


def targets_of(model: nn.Module) -> tuple[str, ...]:
    """Returns the losses of a model that have a weight of their own.

    Raises:
        WeightError: See :func:`losses_of`.
    """
    return tuple(losses_of(model).book.weighted)


def _as_configured(losses: ModelLosses, model: Any) -> ModelLosses:
    # OneFormer has this loss where it trains with texts.
    is_contrastive = getattr(getattr(model, "criterion", None), "contrastive_temperature", None) is not None
    if not is_contrastive or not model.config.is_training:
        return losses
    return ModelLosses(losses.criterion, losses.methods, {"loss_contrastive": _CONTRASTIVE}, losses.takes_labels)

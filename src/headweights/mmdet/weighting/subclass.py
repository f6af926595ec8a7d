"""``with_weight_per_image``: the weighted subclass of a head, registered as ``<Head>WithWeightPerImage``."""

from __future__ import annotations

import functools
import inspect
from contextlib import suppress
from typing import Any

from mmdet.models.roi_heads import PISARoIHead
from mmdet.registry import MODELS
from torch import nn

from headweights.errors import WeightError
from headweights.mmdet.heads.model_heads import forget_heads, heads_of, modules_by_path, reason_against
from headweights.mmdet.heads.pisa import gating_roi_head
from headweights.mmdet.heads.weighted_head import WeightedHead
from headweights.mmdet.weighting.anchors import AnchorTargetsWeighted
from headweights.mmdet.weighting.entry_points import loss_methods_of
from headweights.mmdet.weighting.gated import GatedPredictions
from headweights.mmdet.weighting.labelled import leaving_out
from headweights.mmdet.weighting.queries import QueryTargetsWeighted
from headweights.mmdet.weighting.rois import RoITargetsWeighted

_SUFFIX = "WithWeightPerImage"

# In order of preference: weighted targets come first, because then the log shows the weights.
MECHANISMS = (RoITargetsWeighted, AnchorTargetsWeighted, QueryTargetsWeighted, GatedPredictions)


def mechanism_of(head_class: type) -> type[WeightedHead]:
    """Returns the mechanism that weighs a class of heads.

    Raises:
        WeightError: It is not a head of a detector, or it is unknown how its predictions enter its loss.
    """
    name = getattr(head_class, "__name__", repr(head_class))
    if not (isinstance(head_class, type) and issubclass(head_class, nn.Module)):
        raise WeightError(f"{name} cannot be weighted: it is not a class of heads (torch.nn.Module).")
    reason = reason_against(head_class)
    if reason:
        raise WeightError(f"{name} cannot be weighted: {reason}")
    for mechanism in MECHANISMS:
        if mechanism.fits(head_class):
            return mechanism
    raise WeightError(
        f"{name} cannot be weighted: it has no method loss_by_feat(predictions, ...) where its predictions enter its loss, and "
        "does not descend from a head of mmdetection that has another one."
    )


def with_weight_per_image(head_class: type) -> type:
    """Returns ``<head_class>WithWeightPerImage``, the subclass whose loss is weighted image by image; registered in ``MODELS``.

    It has the parameters, the state dict, the predictions and, where all weights are 1, the losses and gradients of its parent,
    bit for bit. Called twice for a class it returns the same subclass; called for a weighted class it returns that class.

    Args:
        head_class: A head of mmdetection or one of your own. It can be used as a decorator. ``PISARoIHead``, which computes a
            part of its bbox head's loss, counts as a head.

    Raises:
        WeightError: The class is not a head, or its loss is not a sum over images (tracking, re-identification).
    """
    if isinstance(head_class, type) and issubclass(head_class, WeightedHead):
        return head_class
    if isinstance(head_class, type) and issubclass(head_class, PISARoIHead):
        return gating_roi_head(head_class)
    mechanism = mechanism_of(head_class)
    name = head_class.__name__ + _SUFFIX
    known = MODELS.module_dict.get(name)
    if known is not None and known.__mro__[-len(head_class.__mro__) :] == head_class.__mro__:
        return known  # type: ignore[no-any-return]
    doc = f"{head_class.__name__} with a loss weight per image. {mechanism.__doc__}"
    namespace = {"__doc__": doc, "__module__": __name__, **mechanism.namespace(head_class)}
    weighted: Any = type(name, (mechanism, head_class), namespace)
    weighted.loss_methods = loss_methods_of(head_class)
    for entry in weighted.loss_methods:
        if entry.class_scores and not isinstance(entry.class_scores, str):
            signature = inspect.signature(getattr(head_class, entry.name))
            setattr(weighted, entry.name, leaving_out(getattr(weighted, entry.name), entry, signature))
    if head_class.__name__ == "DETRHead":
        _build_as_parent(weighted, head_class)
    MODELS.register_module(name=name, module=weighted, force=True)
    return weighted  # type: ignore[no-any-return]


def make_weighted(head: nn.Module) -> nn.Module:
    """Makes a head that has been built weighted, in place, and returns it. It keeps its parameters, state and hooks.

    Args:
        head: A head. One that is weighted already stays as it is.

    Raises:
        WeightError: See :func:`with_weight_per_image`.
    """
    object.__setattr__(head, "__class__", with_weight_per_image(type(head)))
    forget_heads()
    return head


def _build_as_parent(weighted: Any, head_class: Any) -> None:
    """Builds a weighted head as its parent, because ``DETRHead.__init__`` tests for exactly the class ``DETRHead``."""

    @functools.wraps(head_class.__init__)
    def build(self: Any, *args: Any, **kwargs: Any) -> None:
        cls = type(self)
        object.__setattr__(self, "__class__", head_class if cls is weighted else cls)
        head_class.__init__(self, *args, **kwargs)
        object.__setattr__(self, "__class__", cls)

    weighted.__init__ = build


def weigh_every_head(model: nn.Module) -> dict[str, str]:
    """Makes every head of a model weighted, in place, that can be; returns the reason why another cannot, by its path."""
    reasons = {}
    modules = dict(modules_by_path(model))
    for path in list(heads_of(model).book.stock):
        try:
            make_weighted(modules[path])
        except WeightError as error:
            reasons[path] = str(error)
    return reasons


for _registered in list(MODELS.module_dict.values()):  # every registered head that can be weighted gets its subclass
    with suppress(WeightError):
        with_weight_per_image(_registered)


def __getattr__(name: str) -> Any:
    # Every registered weighted class is a name of this module too, so that it can be imported and pickled.
    if name.endswith(_SUFFIX) and name in MODELS.module_dict:
        return MODELS.module_dict[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

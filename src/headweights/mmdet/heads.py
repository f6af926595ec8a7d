"""``with_weight_per_image``: the weighted subclass of a head, registered as ``<Head>WithWeightPerImage``."""

from __future__ import annotations

from typing import Any

from mmdet.registry import MODELS

from headweights.errors import WeightError
from headweights.mmdet.dense import AnchorTargetsWeighted
from headweights.mmdet.model import WeightedHead
from headweights.mmdet.roi import RoITargetsWeighted

_SUFFIX = "WithWeightPerImage"
_MECHANISMS = (RoITargetsWeighted, AnchorTargetsWeighted)


def with_weight_per_image(head_class: type) -> type:
    """The subclass of a head whose loss is weighted image by image, registered in ``MODELS``.

    It has the parameters, the state dict, the predictions and, where all weights are 1, the losses and gradients of its parent,
    bit for bit. Called twice for a class it returns the same subclass; called for a weighted class, that class.

    Args:
        head_class: A head of mmdetection or one of your own. Works as a decorator too.

    Returns:
        The class named ``<head_class>WithWeightPerImage``.

    Raises:
        WeightError: No mechanism fits the class.
    """
    if issubclass(head_class, WeightedHead):
        return head_class
    mechanism = next((mechanism for mechanism in _MECHANISMS if mechanism.fits(head_class)), None)
    if mechanism is None:
        raise WeightError(
            f"{head_class.__name__} cannot be weighted: it computes its targets or losses in a way of its own. "
            "Weighted so far are heads that take them over from RPNHead, RetinaHead and BBoxHead."
        )
    name = head_class.__name__ + _SUFFIX
    known = MODELS.module_dict.get(name)
    if known is not None and issubclass(known, head_class):
        return known  # type: ignore[no-any-return]
    weighted = type(
        name,
        (mechanism, head_class),
        {"__doc__": f"{head_class.__name__} with a loss weight per image. {mechanism.__doc__}", "__module__": __name__},
    )
    MODELS.register_module(name=name, module=weighted, force=True)
    return weighted


def _weight_every_stock_head() -> None:
    for head_class in list(MODELS.module_dict.values()):
        if isinstance(head_class, type) and any(mechanism.fits(head_class) for mechanism in _MECHANISMS):
            with_weight_per_image(head_class)


_weight_every_stock_head()


def __getattr__(name: str) -> Any:
    # Every registered weighted class is a name of this module too, so that it can be imported and pickled.
    if name.endswith(_SUFFIX) and name in MODELS.module_dict:
        return MODELS.module_dict[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

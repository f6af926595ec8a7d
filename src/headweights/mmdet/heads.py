"""``with_weight_per_image``: the weighted subclass of a head, registered as ``<Head>WithWeightPerImage``."""

from __future__ import annotations

import functools
from typing import Any

from mmdet.registry import MODELS
from torch import nn

from headweights.errors import WeightError
from headweights.mmdet.dense import AnchorTargetsWeighted
from headweights.mmdet.gated import GatedPredictions
from headweights.mmdet.model import WeightedHead, forget, reason_against
from headweights.mmdet.query import QueryTargetsWeighted
from headweights.mmdet.roi import RoITargetsWeighted

_SUFFIX = "WithWeightPerImage"

# In order of preference: where weights can ride on the targets they do, so that the log shows them.
MECHANISMS: tuple[type[WeightedHead], ...] = (
    RoITargetsWeighted,
    AnchorTargetsWeighted,
    QueryTargetsWeighted,
    GatedPredictions,
)


def mechanism_of(head_class: type) -> type[WeightedHead]:
    """How a head is weighted.

    Raises:
        WeightError: It is no head of a detector, or nothing is known of how its predictions enter its loss.
    """
    name = getattr(head_class, "__name__", repr(head_class))
    if not (isinstance(head_class, type) and issubclass(head_class, nn.Module)):
        raise WeightError(f"{name} cannot be weighted: it is no class of heads (torch.nn.Module).")
    reason = reason_against(head_class)
    if reason:
        raise WeightError(f"{name} cannot be weighted: {reason}")
    for mechanism in MECHANISMS:
        if mechanism.fits(head_class):
            return mechanism
    raise WeightError(
        f"{name} cannot be weighted: it has no method loss_by_feat(predictions, ...) where its predictions enter its loss, and "
        "descends from no head of mmdetection that has another one."
    )


def with_weight_per_image(head_class: type) -> type:
    """The subclass of a head whose loss is weighted image by image, registered in ``MODELS``.

    It has the parameters, the state dict, the predictions and, where all weights are 1, the losses and gradients of its parent,
    bit for bit. Called twice for a class it returns the same subclass; called for a weighted class, that class.

    Args:
        head_class: A head of mmdetection or one of your own. Works as a decorator too.

    Returns:
        The class named ``<head_class>WithWeightPerImage``.

    Raises:
        WeightError: The class is no head, or one whose loss is not a sum over images (tracking, re-identification).
    """
    if isinstance(head_class, type) and issubclass(head_class, WeightedHead):
        return head_class
    mechanism = mechanism_of(head_class)
    name = head_class.__name__ + _SUFFIX
    known = MODELS.module_dict.get(name)
    if known is not None and known.__mro__[-len(head_class.__mro__) :] == head_class.__mro__:
        return known  # type: ignore[no-any-return]
    weighted = type(
        name,
        (mechanism, head_class),
        {
            "__doc__": f"{head_class.__name__} with a loss weight per image. {mechanism.__doc__}",
            "__module__": __name__,
            **mechanism.namespace(head_class),
        },
    )
    if head_class.__name__ == "DETRHead":
        _build_as_parent(weighted, head_class)
    MODELS.register_module(name=name, module=weighted, force=True)
    return weighted


def make_weighted(head: nn.Module) -> nn.Module:
    """Makes a head that is built already weighted, in place: the same parameters, state and hooks, of the weighted class.

    Args:
        head: A head; one that is weighted already stays as it is.

    Returns:
        The same object.

    Raises:
        WeightError: see :func:`with_weight_per_image`.
    """
    object.__setattr__(head, "__class__", with_weight_per_image(type(head)))
    forget()
    return head


def _build_as_parent(weighted: Any, head_class: Any) -> None:
    """Has a weighted head built as its parent: ``DETRHead.__init__`` asks whether its class is ``DETRHead`` to the letter."""

    @functools.wraps(head_class.__init__)
    def build(self: Any, *args: Any, **kwargs: Any) -> None:
        cls = type(self)
        object.__setattr__(self, "__class__", head_class if cls is weighted else cls)
        head_class.__init__(self, *args, **kwargs)
        object.__setattr__(self, "__class__", cls)

    weighted.__init__ = build


def weight_every_stock_head() -> None:
    """Registers the weighted subclass of every head that is registered now and can have one; called once, on import."""
    for head_class in list(MODELS.module_dict.values()):
        try:
            with_weight_per_image(head_class)
        except WeightError:
            continue


weight_every_stock_head()


def __getattr__(name: str) -> Any:
    # Every registered weighted class is a name of this module too, so that it can be imported and pickled.
    if name.endswith(_SUFFIX) and name in MODELS.module_dict:
        return MODELS.module_dict[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

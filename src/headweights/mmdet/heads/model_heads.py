"""The heads of a model: which are weighted, which are stock, and the path that addresses each."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from mmdet.models.detectors import SemiBaseDetector
from mmdet.models.roi_heads import PISARoIHead
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn

from headweights.errors import WeightError
from headweights.mmdet.heads.pisa import gating_roi_head
from headweights.mmdet.heads.weighted_head import NO_OBJECTS, WeightedHead, reason_no_objects
from headweights.weights.addresses import Address, AddressBook


class ModelHeads:
    """The heads of one model, by path.

    Args:
        model: A detector, or any other module that is the outermost to compute a loss. Its parts are only referenced weakly.

    Attributes:
        book: The addresses that the model reads.
        weighed_by_roi_head: The paths of bbox heads that do not weigh themselves, because their RoI head computes a part of their
            loss and weighs all of it (:mod:`headweights.mmdet.heads.pisa`).
    """

    def __init__(self, model: nn.Module) -> None:
        self._paths: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self.weighed_by_roi_head: set[str] = set()
        weighted: dict[str, tuple[str, ...]] = {}
        stock: dict[str, str] = {}
        backgrounds: dict[str, tuple[str, ...] | str] = {}
        # Semi-supervised teachers have the same heads as the student and compute no loss.
        semi_supervised = [path for path, module in modules_by_path(model) if isinstance(module, SemiBaseDetector)]
        teachers = tuple(f"{path}.teacher.".lstrip(".") for path in semi_supervised)
        for path, module in modules_by_path(model):
            if isinstance(module, PISARoIHead):
                self.weighed_by_roi_head.add(f"{path}.bbox_head".lstrip("."))
                if isinstance(module.bbox_head, WeightedHead):  # so a config need not name the RoI head's weighted class too
                    object.__setattr__(module, "__class__", gating_roi_head(type(module)))
            if path.startswith(teachers):
                continue
            if isinstance(module, WeightedHead):
                weighted[path] = () if path in self.weighed_by_roi_head else module.addressable_losses
                backgrounds[path] = _background(module) if path not in self.weighed_by_roi_head else ("",)
                self._paths[module] = path
            elif path and computes_loss(type(module)):
                stock[path] = type(module).__name__
        self.book = AddressBook(weighted, stock, backgrounds=backgrounds)
        self._found: dict[str, Address | None] = {}

    def path_of(self, head: nn.Module) -> str:
        """Returns the path of a weighted head in the model.

        Raises:
            WeightError: The head is not in the model, or was not there when the model first computed a loss.
        """
        if head not in self._paths:
            raise WeightError(
                f"{type(head).__name__} is not a part of the model whose loss is computed (its weighted heads: "
                f"{', '.join(self.book.weighted) or 'none'}). If it was added later, call headweights.mmdet.forget_heads()."
            )
        return self._paths[head]

    def logs_weighted(self, path: str) -> bool:
        """Whether the losses of the weighted head at a path, and so the log, include the weights."""
        head = self._at(path)
        return path not in self.weighed_by_roi_head and isinstance(head, WeightedHead) and head.logs_weighted

    def class_of(self, path: str) -> str:
        """Returns the name of the class of the weighted head at a path."""
        return type(self._at(path)).__name__

    def without_objects(self) -> Iterator[tuple[str, str]]:
        """Yields the path of each weighted head that has objects but cannot tell them apart, and the reason."""
        for path in self.book.weighted:
            reason = reason_no_objects(self._at(path))
            if reason not in (None, NO_OBJECTS) and path not in self.weighed_by_roi_head:
                yield path, str(reason)

    def _at(self, path: str) -> nn.Module:
        return next(head for head, known in self._paths.items() if known == path)

    def find(self, name: str) -> Address | None:
        """Returns the address that a metainfo field spells, or None for a field that is no weight.

        Where the address covers stock heads too, one line of the log names those that it leaves alone, once.

        Raises:
            WeightError: The field looks like a weight, but nothing in this model reads it.
        """
        if name not in self._found:
            address = self._found[name] = self.book.find(name)
            if address and (left_alone := self.book.left_alone(address)):
                heads = ", ".join(self.book.acts_on(address))
                stock = ", ".join(f"{path} (stock {cls})" for path, cls in left_alone.items())
                print_log(f"headweights: {address.field} acts on {heads} and leaves alone {stock}", logger="current")
        return self._found[name]


def _background(head: WeightedHead) -> tuple[str, ...] | str:
    """The losses of a head that learn from the background, or why the background cannot have a weight of its own."""
    if getattr(head, "num_stuff_classes", 0):
        return "its regions of stuff are no objects, and no background either"
    reason = head.reason_no_objects
    if reason == NO_OBJECTS:
        return ()
    return head.losses_with_background if reason is None else reason


# Where torch.compile, FSDP and activation checkpointing keep the module that they wrap.
_STANDING_IN = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def modules_by_path(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yields every module of a model by the path that users know: wrappers (DDP, FSDP, ``torch.compile``) add nothing to it.

    A wrapper comes before the module that it wraps, with the same path.
    """
    yield path, model
    inner = _inside(model)
    for name, child in model.named_children():
        yield from modules_by_path(child, path if child is inner else f"{path}.{name}".lstrip("."))


def unwrapped(model: nn.Module) -> nn.Module:
    """Returns a model without the wrappers around it."""
    while (inner := _inside(model)) is not None:
        model = inner
    return model


def _inside(model: nn.Module) -> nn.Module | None:
    """The module that a wrapper wraps. None where the module is no wrapper."""
    inner: object = next((child for name, child in model.named_children() if name in _STANDING_IN), None)
    if inner is None and is_model_wrapper(model):
        inner = getattr(model, "module", None)
    return inner if isinstance(inner, nn.Module) else None


def reason_against(head_class: type) -> str | None:
    """Returns why a class of heads has no loss per image that could be weighted. None where it may have one."""
    for ancestor in head_class.__mro__:
        if ancestor.__module__.startswith(("mmdet.models.tracking_heads", "mmdet.models.reid")):
            return "its loss compares images with each other (tracking, re-identification), so it is not a sum over images."
        if ancestor.__module__.startswith(("mmdet.", "mmengine.")) and ancestor.__name__ in _NO_LOSS_OF_ITS_OWN:
            return _NO_LOSS_OF_ITS_OWN[ancestor.__name__]
    return None


_NO_LOSS_OF_ITS_OWN = {
    "CascadeRPNHead": "its stages compute the losses: make their type 'StageCascadeRPNHeadWithWeightPerImage'.",
    "EmbeddingRPNHead": "it computes no loss.",
    "BasePanopticFusionHead": "it computes no loss.",
    "CLRHead": "it detects lanes, makes its predictions inside its loss and is called outside of mmdetection's conventions.",
    "BaseRoIHead": "it holds heads and computes no loss of its own; weigh its bbox_head and mask_head.",
    "BaseModel": "it is a model, not a head.",
}


def computes_loss(head_class: type) -> bool:
    """Whether a class is a head that computes a loss of its own, weighted or not."""
    methods = ("loss_by_feat", "loss_and_target")
    is_head = any(callable(getattr(head_class, method, None)) for method in methods) or head_class.__name__.endswith("Head")
    has_loss = callable(getattr(head_class, "loss", None) or getattr(head_class, "loss_and_target", None))
    return is_head and has_loss and reason_against(head_class) is None


_known: WeakKeyDictionary[nn.Module, ModelHeads] = WeakKeyDictionary()


def heads_of(model: nn.Module) -> ModelHeads:
    """Returns the heads of a model. They are looked up once."""
    if model not in _known:
        _known[model] = ModelHeads(model)
    return _known[model]


def forget_heads() -> None:
    """Makes the heads of every model be looked up again. Call it after you have exchanged a head."""
    _known.clear()

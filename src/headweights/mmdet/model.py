"""The heads of a model: which are weighted, which are stock, and by what path each is addressed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from mmdet.models.detectors import SemiBaseDetector
from mmdet.models.roi_heads import PISARoIHead
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn

from headweights.addresses import Address, AddressBook
from headweights.errors import WeightError


class WeightedHead(nn.Module):
    """What every weighted head is, whatever its mechanism: a head whose losses can be addressed by name."""

    @staticmethod
    def fits(head_class: type) -> bool:
        """Whether this mechanism is exact for a class of heads."""
        return False

    @classmethod
    def namespace(cls, head_class: type) -> dict[str, Any]:
        """What the weighted subclass of a head defines beyond what it inherits."""
        return {}

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        """The head's losses that a weight can be given to apart, by the names that the head gives their modules."""
        return ()

    @property
    def logs_weighted(self) -> bool:
        """Whether the losses that the head returns, and so the log, include the weights; otherwise only their gradient does."""
        return False

    @property
    def reason_no_objects(self) -> str | None:
        """Why the head cannot give each object a weight of its own; None where it can."""
        return NOT_KNOWN


# Semantic heads: objects' weights do not concern them, and they weigh the picture.
NO_OBJECTS = "it learns a map of the whole picture and no objects"
# Why most heads that cannot tell objects apart cannot: those of other code.
NOT_KNOWN = "how it matches its predictions to objects is not known"


def reason_no_objects(head: nn.Module) -> str | None:
    """Why a head cannot give each object of a picture a weight of its own, as the end of a sentence; None where it can."""
    return head.reason_no_objects if isinstance(head, WeightedHead) else "it is a stock head and reads no weights"


@dataclass(frozen=True)
class InForce:
    """What the data sets of a run weigh at this moment; a :class:`LossWeightHook` sets it before every iteration.

    Args:
        datasets: The weights of each data set of the mix, by its name; an address that it has none for weighs 1. Empty where
            there is no hook, and so no mix.
        scales: A factor on all weights of a loss of a head, by (head path, loss); 1 where none is given.
    """

    datasets: Mapping[str, Mapping[Address, float]] = field(default_factory=dict)
    scales: Mapping[tuple[str, str], float] = field(default_factory=dict)


class ModelHeads:
    """The heads of one model, by path.

    Args:
        model: A detector (or any module that is the outermost to compute a loss). Only weak references to its parts are kept.

    Attributes:
        book: The addresses that the model reads.
        weighed_by_roi_head: Paths of bbox heads that do not weigh themselves, because their RoI head computes a part of their
            loss (PISA's CARL): their predictions are gated on their way to both.
        in_force: What the data sets weigh.
    """

    def __init__(self, model: nn.Module) -> None:
        self._paths: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self.weighed_by_roi_head = {
            path
            for roi_path, module in modules_by_path(model)
            if isinstance(module, PISARoIHead)
            for path in [f"{roi_path}.bbox_head".lstrip(".")]
        }
        weighted: dict[str, tuple[str, ...]] = {}
        stock: dict[str, str] = {}
        teachers = _teachers(model)
        for path, module in modules_by_path(model):
            if path.startswith(teachers):
                continue
            if isinstance(module, WeightedHead):
                weighted[path] = () if path in self.weighed_by_roi_head else module.addressable_losses
                self._paths[module] = path
            elif path and computes_loss(type(module)):
                stock[path] = type(module).__name__
        self.book = AddressBook(weighted, stock)
        self.in_force = InForce()
        self._found: dict[str, Address | None] = {}

    def path_of(self, head: nn.Module) -> str:
        """The path of a weighted head in the model.

        Raises:
            WeightError: The head is not in the model, or was not when the model first computed a loss.
        """
        if head not in self._paths:
            raise WeightError(
                f"{type(head).__name__} is no part of the model whose loss is computed (its weighted heads: "
                f"{', '.join(self.book.weighted) or 'none'}). If it was put there later, call headweights.mmdet.model.forget()."
            )
        return self._paths[head]

    def weights_of(self, dataset: str | None) -> Mapping[Address, float]:
        """What a data set weighs now; nothing where there is no hook.

        Raises:
            WeightError: There is a hook, and the data set is none of its mix.
        """
        known = self.in_force.datasets
        if known and dataset not in known:
            mix = f"the LossWeightHook weighs by data set ({', '.join(map(repr, known))})"
            if dataset is not None:
                raise WeightError(f"is of data set {dataset!r}, but {mix}.")
            raise WeightError(
                f"does not say which data set it is of, but {mix}. A step of its pipeline that makes a new table of results, or "
                "packs them other than PackDetInputs does, lost it."
            )
        return known.get(dataset, {}) if dataset is not None else {}

    def scale_of(self, path: str, loss: str) -> float:
        """The factor on all weights of a loss of the head at a path."""
        return self.in_force.scales.get((path, loss), 1.0)

    def logs_weighted(self, path: str) -> bool:
        """Whether the losses of the weighted head at a path, and so the log, include the weights."""
        head = self._at(path)
        return path not in self.weighed_by_roi_head and isinstance(head, WeightedHead) and head.logs_weighted

    def class_of(self, path: str) -> str:
        """The name of the class of the weighted head at a path."""
        return type(self._at(path)).__name__

    def without_objects(self) -> Iterator[tuple[str, str]]:
        """The paths of the weighted heads that have objects and cannot tell them apart, and why not."""
        for path in self.book.weighted:
            reason = reason_no_objects(self._at(path))
            if reason not in (None, NO_OBJECTS) and path not in self.weighed_by_roi_head:
                yield path, str(reason)

    def _at(self, path: str) -> nn.Module:
        return next(head for head, known in self._paths.items() if known == path)

    def __contains__(self, head: nn.Module) -> bool:
        return head in self._paths

    def find(self, name: str) -> Address | None:
        """The address that a metainfo field spells, None for a field that is no weight.

        The first time that an address turns out to cover stock heads too, one line of the log names those it leaves alone.

        Raises:
            WeightError: The field is meant as a weight and no head of this model reads it.
        """
        if name not in self._found:
            address = self._found[name] = self.book.find(name)
            left_alone = self.book.left_alone(address) if address else {}
            if address and left_alone:
                print_log(
                    f"headweights: {address.field} acts on {', '.join(self.book.acts_on(address))} and leaves alone "
                    + ", ".join(f"{path} (stock {cls})" for path, cls in left_alone.items()),
                    logger="current",
                )
        return self._found[name]


# Where wrappers that stand in for what they wrap keep it: torch.compile, FSDP, activation checkpointing.
_STANDING_IN = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def modules_by_path(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every module of a model by the path that its user knows: what wraps a part (DDP, FSDP, ``torch.compile``) leaves none.

    A wrapper comes before what it wraps, at the same path.
    """
    yield path, model
    for name, child in model.named_children():
        wrapped = name in _STANDING_IN or (name == "module" and _is_wrapper(model))
        yield from modules_by_path(child, path if wrapped else f"{path}.{name}".lstrip("."))


def unwrapped(model: nn.Module) -> nn.Module:
    """A model without what wraps it as a whole."""
    while True:
        inner: object = next((child for name, child in model.named_children() if name in _STANDING_IN), None)
        if inner is None and _is_wrapper(model):
            inner = getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def _is_wrapper(model: nn.Module) -> bool:
    return is_model_wrapper(model) or isinstance(model, nn.parallel.DistributedDataParallel)


def _teachers(model: nn.Module) -> tuple[str, ...]:
    """The paths of semi-supervised teachers: they have the student's heads, and compute no loss."""
    return tuple(
        (path and path + ".") + "teacher." for path, module in modules_by_path(model) if isinstance(module, SemiBaseDetector)
    )


def reason_against(head_class: type) -> str | None:
    """Why a class of heads has no loss per image that could be weighted; None where nothing speaks against it."""
    for ancestor in head_class.__mro__:
        if ancestor.__module__.startswith(("mmdet.models.tracking_heads", "mmdet.models.reid")):
            return "its loss compares images with each other (tracking, re-identification), so no part of it is one image's."
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
    """Whether a class is a head: it computes a loss of its own, weighted or not."""
    methods = ("loss_by_feat", "loss_and_target")
    is_head = any(callable(getattr(head_class, method, None)) for method in methods) or head_class.__name__.endswith("Head")
    return (
        is_head
        and callable(getattr(head_class, "loss", None) or getattr(head_class, "loss_and_target", None))
        and (reason_against(head_class) is None)
    )


_known: WeakKeyDictionary[nn.Module, ModelHeads] = WeakKeyDictionary()


def heads_of(model: nn.Module) -> ModelHeads:
    """The heads of a model, looked up once a model."""
    if model not in _known:
        _known[model] = ModelHeads(model)
    return _known[model]


def forget() -> None:
    """Has the heads of every model looked up anew: to be called where a head was exchanged."""
    _known.clear()

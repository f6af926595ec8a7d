"""The heads of a model: which are weighted, which are stock, and by what path each is addressed."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.models.seg_heads.panoptic_fusion_heads.base_panoptic_fusion_head import BasePanopticFusionHead
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn

from headweights.addresses import Address, AddressBook


class WeightedHead(nn.Module):
    """What every weighted head is, whatever its mechanism: a head whose losses can be addressed by name."""

    @property
    def addressable_losses(self) -> tuple[str, ...]:
        """The head's loss modules that a weight can be given to apart, by the names that the head gives them."""
        return ()


class ModelHeads:
    """The heads of one model, by path.

    Args:
        model: A detector (or any module that is the outermost to compute a loss). Only weak references to its parts are kept.
    """

    def __init__(self, model: nn.Module) -> None:
        self._paths: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        weighted: dict[str, tuple[str, ...]] = {}
        stock: dict[str, str] = {}
        for path, module in model.named_modules():
            if isinstance(module, WeightedHead):
                weighted[path] = module.addressable_losses
                self._paths[module] = path
            elif path and computes_loss(module):
                stock[path] = type(module).__name__
        self.book = AddressBook(weighted, stock)
        self._found: dict[str, Address | None] = {}

    def path_of(self, head: nn.Module) -> str:
        """The path of a weighted head in the model; KeyError for a head that is not in it."""
        return self._paths[head]

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


def computes_loss(module: nn.Module) -> bool:
    """Whether a module is a head: it computes a loss itself, and is no container of heads."""
    if isinstance(module, (BaseModel, BaseRoIHead, BasePanopticFusionHead)):
        return False
    return any(callable(getattr(module, method, None)) for method in ("loss", "loss_by_feat", "loss_and_target"))


_known: WeakKeyDictionary[nn.Module, ModelHeads] = WeakKeyDictionary()


def heads_of(model: nn.Module) -> ModelHeads:
    """The heads of a model, looked up once a model."""
    if model not in _known:
        _known[model] = ModelHeads(model)
    return _known[model]


def forget(model: nn.Module) -> None:
    """Has the heads of a model looked up anew: to be called where heads were exchanged."""
    _known.pop(model, None)

"""Addresses of weights: ``<head path>[.<loss>][.background].loss_weight``.

A head path is the path of a module in the detector (``rpn_head``, ``roi_head.bbox_head``, ``roi_head.bbox_head.0``). It covers
every head at or below it. A loss is named as the head names it (``loss_cls``, ``loss_bbox``). Where several addresses cover a
loss, the most specific one wins: the longest head path, and on the same path the one that names the loss. They do not multiply.

An address with ``background`` is about predictions that are matched to no object. For them it wins over the others on its path.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from headweights.errors import WeightError

LOSS_WEIGHT = "loss_weight"
BACKGROUND = "background"

_T = TypeVar("_T")

# How alike two fields must be (difflib's ratio) for one to count as a misspelling of the other.
_NEAR_MISS = 0.8
_SUGGESTION = 0.6


def field_of(target: str) -> str:
    """Returns the metainfo field of a target: ``'rpn_head'`` -> ``'rpn_head.loss_weight'``."""
    return f"{target}.{LOSS_WEIGHT}"


def target_of(field: str) -> str:
    """Returns the target of a metainfo field, or a target unchanged: ``'rpn_head.loss_weight'`` -> ``'rpn_head'``."""
    return "" if field == LOSS_WEIGHT else field.removesuffix("." + LOSS_WEIGHT)


def is_weight_field(name: str) -> bool:
    """Whether the last part of a metainfo field is ``loss_weight``."""
    return name == LOSS_WEIGHT or name.endswith("." + LOSS_WEIGHT)


def at_or_below(path: str, top: str) -> bool:
    """Whether a head path is another or lies below it; all of them lie below ''."""
    return not top or path == top or path.startswith(top + ".")


def _at_or_above(path: str) -> list[str]:
    """A path and all paths above it, the shortest first."""
    parts = path.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


@dataclass(frozen=True)
class Address:
    """One address: the head path that it covers ('' for every head) and, if it names one, the loss.

    With `background`, it covers only what these heads learn from predictions that are matched to no object.
    """

    path: str
    loss: str | None = None
    background: bool = False

    @property
    def target(self) -> str:
        """The target, ``<head path>[.<loss>][.background]``."""
        return ".".join(filter(None, (self.path, self.loss, BACKGROUND if self.background else None)))

    @property
    def field(self) -> str:
        """The metainfo field of the target."""
        return field_of(self.target)

    @property
    def specificity(self) -> tuple[int, bool, bool]:
        """A sort key for addresses that cover the same loss of the same head: larger is more specific. There are no ties."""
        return len(self.path), self.background, self.loss is not None

    def covers(self, head: str, loss: str, background: bool = False) -> bool:
        """Whether the address covers this loss of the head at this path, for objects or for the background."""
        return at_or_below(head, self.path) and self.loss in (None, loss) and self.background <= background


EVERY_HEAD = Address("")


@dataclass(frozen=True)
class AddressBook:
    """The addresses that one model reads.

    Args:
        weighted: For each weighted head, by its path, the losses that can be addressed. A head without any can only be addressed
            as a whole.
        stock: The class name of each head that computes a loss and reads no weights, by its path.
        refused: Names that have no weight of their own although users may expect one, and why, as the end of a sentence.
        backgrounds: For each weighted head, by its path, the losses that learn from predictions that are matched to no object
            (``''`` for a head that can only be addressed as a whole); or why that part cannot have a weight of its own.
    """

    weighted: Mapping[str, Sequence[str]]
    stock: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    backgrounds: Mapping[str, Sequence[str] | str] = field(default_factory=dict)

    @cached_property
    def _addresses(self) -> dict[str, Address]:
        """Every address by its field."""
        addresses: dict[str, Address] = {}
        for head, losses in self.weighted.items():
            background = [] if isinstance(self.backgrounds.get(head, ""), str) else self.backgrounds[head]
            for path in _at_or_above(head):
                found = [Address(path), *(Address(path, loss) for loss in losses)]
                found += [Address(path, loss or None, True) for loss in background]
                for address in (*found, *(Address(above, None, True) for above in ("", path) if background)):
                    addresses.setdefault(address.field, address)
        return addresses

    @property
    def fields(self) -> list[str]:
        """Every field that this model reads."""
        return list(self._addresses)

    def find(self, name: str) -> Address | None:
        """Returns the address that a metainfo field spells, or None for a field that is no weight.

        Raises:
            WeightError: The field looks like a weight, but nothing in this model reads it. A field looks like a weight if its
                last part is ``loss_weight``, if it begins with the path of a head, or if it nearly spells an address.
        """
        address = self._addresses.get(name)
        if address is None and self._is_meant_as_weight(name):
            raise WeightError(self._no_such_address(name, f"field {name!r}"))
        return address and self._checked(address, f"field {name!r}")

    def at(self, target: str) -> Address:
        """Returns the address of a target (a field without its last part): ``'rpn_head'``, or ``''`` for every head.

        Raises:
            WeightError: No head of this model is there; or it names the background of a head that cannot tell it from objects.
        """
        if not target:
            return EVERY_HEAD
        address = self._addresses.get(field_of(target))
        if address is None:
            raise WeightError(self._no_such_address(target, f"target {target!r}", target_of))
        return self._checked(address, f"target {target!r}")

    @property
    def terms(self) -> list[tuple[str, str]]:
        """Every (head path, loss) that has a weight of its own. The loss is '' for a head that can only be weighed as a whole."""
        return [(head, loss) for head, losses in self.weighted.items() for loss in (losses or ("",))]

    def left_alone(self, address: Address) -> dict[str, str]:
        """The stock heads (class name by path) that lie under an address and ignore it."""
        return {path: name for path, name in self.stock.items() if at_or_below(path, address.path)}

    def acts_on(self, address: Address) -> list[str]:
        """The paths of the weighted heads that an address changes."""
        return list(dict.fromkeys(head for head, loss in self.terms if address.covers(head, loss, background=True)))

    def has_background(self, head: str, loss: str) -> bool:
        """Whether a loss of the head at a path learns from predictions that are matched to no object."""
        losses = self.backgrounds.get(head, ())
        return not isinstance(losses, str) and loss in losses

    def nearest(self, name: str) -> list[str]:
        """Returns up to three fields of this model that resemble a name, the closest first."""
        return difflib.get_close_matches(name, self.fields, n=3, cutoff=_SUGGESTION)

    def _checked(self, address: Address, subject: str) -> Address:
        """Returns an address. An error says which of the heads that it covers cannot tell the background from objects."""
        for head, reason in self.backgrounds.items() if address.background else ():
            if isinstance(reason, str) and at_or_below(head, address.path):
                raise WeightError(
                    f"{subject}: {head} cannot give its background a weight of its own: {reason}. Name the heads that you mean."
                )
        return address

    def _is_meant_as_weight(self, name: str) -> bool:
        paths = {path for head in (*self.weighted, *self.stock) for path in _at_or_above(head)}
        if is_weight_field(name) or any(name.startswith(path + ".") for path in paths):
            return True
        return bool(difflib.get_close_matches(name.lower(), [*self.fields, *map(field_of, paths)], n=1, cutoff=_NEAR_MISS))

    def _no_background(self, path: str) -> str | None:
        """Why the background at a path has no weight of its own, if its objects have one. None where nothing is there."""
        top = path.removesuffix("." + BACKGROUND)
        known = self._addresses.get(field_of(top)) if path != top else None
        if known is None:
            return None
        reasons = [
            reason for head, reason in self.backgrounds.items() if isinstance(reason, str) and at_or_below(head, known.path)
        ]
        return reasons[0] if reasons else f"{top} learns from predictions that are matched to objects only"

    def _no_such_address(self, name: str, subject: str, shown: Callable[[str], str] = str) -> str:
        path = name.removesuffix("." + LOSS_WEIGHT)
        message = f"{subject}: {self.refused.get(path) or self._no_background(path) or 'nothing in this model reads it'}."
        stock = {head: cls for head, cls in self.stock.items() if at_or_below(head, path) or at_or_below(path, head)}
        if stock:
            heads = ", ".join(f"{head} ({cls})" for head, cls in stock.items())
            one = next(iter(stock.values()))
            message += f" It covers only stock heads: {heads}; make them weighted, e.g. type='{one}WithWeightPerImage'."
        near = self.nearest(name if is_weight_field(name) else field_of(name)) or self.nearest(name)
        if near:
            message += f" Nearest valid: {shown(near[0])!r}."
        of_background = [name for name, address in self._addresses.items() if address.background]
        fields = of_background if path.endswith(BACKGROUND) else [name for name in self.fields if name not in of_background]
        if fields:
            message += f" Valid here: {listed([repr(shown(name)) for name in fields], 12)}."
        elif not self.fields:
            message += " No head of this model is weighted; a weighted head's type ends in WithWeightPerImage."
        return message


def covering(given: Iterable[Address], head: str, loss: str, background: bool = False) -> list[Address]:
    """Returns the addresses that cover a loss of the head at a path, for objects or the background, the most specific first."""
    found = [address for address in given if address.covers(head, loss, background)]
    return sorted(found, key=lambda address: address.specificity, reverse=True)


def most_specific(given: Mapping[Address, _T], head: str, loss: str, default: _T, background: bool = False) -> _T:
    """Returns what the most specific address gives to a loss of the head at a path, or `default` where none covers it."""
    found = covering(given, head, loss, background)
    return given[found[0]] if found else default


def listed(names: Sequence[str], limit: int) -> str:
    """Joins the first names with commas, and says how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")

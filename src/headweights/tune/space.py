"""What is searched: the weight of every data set but the target in every head, and the block that a choice of them comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headweights.errors import WeightError
from headweights.weights.addresses import Address, AddressBook, most_specific, target_of
from headweights.weights.block import Block
from headweights.weights.schedules import Constant, Weight, is_schedule

_DIGITS = 3


@dataclass(frozen=True)
class Space:
    """The weights that are searched.

    Args:
        target: The data set that the detector is for. It weighs 1 wherever weights are searched.
        datasets: The other data sets of the mix.
        addresses: The heads and losses, as targets of the block: ``'rpn_head'``, ``'roi_head.bbox_head.loss_cls'``.
        low, high: The range of every weight, searched evenly on a logarithmic scale; 1 lies in it.

    Raises:
        WeightError: The range is none, or 1 lies outside of it; nothing is left to search.
    """

    target: str
    datasets: tuple[str, ...]
    addresses: tuple[str, ...]
    low: float = 0.03
    high: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.low <= 1 <= self.high or self.low == self.high:
            raise WeightError(
                f"the range of the weights is {self.low:g} to {self.high:g}; it begins above 0, and 1, the unweighted detector, "
                "lies in it."
            )
        if not self.datasets or not self.addresses:
            raise WeightError("there is nothing to search: no data set but the target, or no head.")

    @property
    def parameters(self) -> dict[str, tuple[str, str]]:
        """Data set and address of every parameter, by its name, ``'<data set>: <address>'``."""
        return {f"{name}: {address}": (name, address) for name in self.datasets for address in self.addresses}

    @property
    def unweighted(self) -> dict[str, float]:
        """The parameters of the unweighted detector: 1 each."""
        return dict.fromkeys(self.parameters, 1.0)

    def block(self, weights: Mapping[str, Any], parameters: Mapping[str, float]) -> dict[str, Any]:
        """The block that a choice of parameters comes to, rounded to three digits.

        Args:
            weights: The config's own block. What it says of addresses that are not searched stays.
            parameters: A value of every parameter, by name.
        """
        block: dict[str, Any] = {}
        for dataset in (self.target, *self.datasets):
            kept = {target: weight for target, weight in _table(weights, dataset).items() if target not in self.addresses}
            if dataset == self.target:
                ones = dict.fromkeys(self.addresses, 1.0)
                block[dataset] = {**kept, **ones} if any(weight != 1 for weight in kept.values()) else 1.0
            else:
                chosen = {address: rounded(parameters[f"{dataset}: {address}"]) for address in self.addresses}
                block[dataset] = {**kept, **chosen}
        return block

    def kept(self, weights: Mapping[str, Any], book: AddressBook) -> list[tuple[str, str]]:
        """Data set and target of every weight of a block that is not searched and holds inside a head that is."""
        searched = [book.at(address) for address in self.addresses]
        return [
            (dataset, target)
            for dataset in (self.target, *self.datasets)
            for target in _table(weights, dataset)
            if target not in self.addresses and any(_inside(book.at(target), address) for address in searched)
        ]

    def own(self, block: Block, book: AddressBook, normalize: bool) -> tuple[dict[str, float] | None, str]:
        """The parameters that a config's own weights are, as far as the search can try them.

        Args:
            block: The config's own weights.
            book: The addresses of its model.
            normalize: Whether its weights are normalised. Then only their ratios matter, and the target need not weigh 1.

        Returns:
            A value of every parameter, else None and why not; None and nothing where the config weighs nothing.
        """
        parameters = {}
        for name, (dataset, address) in self.parameters.items():
            given, of_target = (_weight_at(block.get(which, {}), address, book) for which in (dataset, self.target))
            if not isinstance(given, Constant) or not isinstance(of_target, Constant):
                return None, f"they change over time in {address}"
            if of_target.value == 0 or (of_target.value != 1 and not normalize):
                return None, f"{self.target!r} weighs {of_target} in {address}, and the search has it at 1"
            parameters[name] = rounded(given.value / of_target.value)
            if not self.low <= parameters[name] <= self.high:
                at = "" if of_target.value == 1 else f" of what {self.target!r} does"
                return None, f"{dataset!r} weighs {parameters[name]:g}{at} in {address}, outside {self.low:g} to {self.high:g}"
        return (None, "") if parameters == self.unweighted else (parameters, "")


def top_heads(paths: Iterable[str]) -> tuple[str, ...]:
    """The outermost heads of a model: of each path the shortest part that ends in ``head``, ``'roi_head.bbox_head.0'`` ->
    ``'roi_head'``, ``'student.rpn_head'`` -> ``'student.rpn_head'``."""
    found = {}
    for path in paths:
        parts = path.split(".")
        end = next((number for number, part in enumerate(parts, 1) if part.endswith("head")), len(parts))
        found[".".join(parts[:end])] = True
    return tuple(found)


def rounded(weight: float) -> float:
    """A weight with three significant digits: what is trained with is what is printed."""
    return float(f"{weight:.{_DIGITS}g}")


def _table(weights: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """What a block as written says of a data set, by target."""
    if dataset not in weights:
        return {}
    given = weights[dataset]
    if isinstance(given, Mapping) and not is_schedule(given):
        return {target_of(target): weight for target, weight in given.items()}
    return {"": given}


def _inside(address: Address, outer: Address) -> bool:
    return address.specificity > outer.specificity and outer.covers(address.path, address.loss or "")


def _weight_at(given: Mapping[str, Weight], target: str, book: AddressBook) -> Weight:
    """The weight of a data set at an address as a whole: the most specific of those at or above the address."""
    address = book.at(target)
    by_address = {book.at(name): weight for name, weight in given.items()}
    return most_specific(by_address, address.path, address.loss or "", Constant(1.0))

"""The search space: the weight of every data set but the target in every head, and how often its images are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headweights.errors import WeightError
from headweights.search import Factor
from headweights.weights.addresses import AddressBook, most_specific, target_of
from headweights.weights.block import Block
from headweights.weights.schedules import Constant, Weight, is_schedule

# Stands for a head in the name of the parameter that says how often the images of a data set are drawn.
DRAWN = "drawn"
# The search goes beyond the two levels of the screening by this factor.
_BEYOND = 3
_DIGITS = 3


@dataclass(frozen=True)
class Space:
    """The weights to search.

    Args:
        target: The data set that the detector is for. Its weight is 1 at every searched address.
        datasets: The other data sets of the mix.
        addresses: The heads and losses, as targets of the block: ``'rpn_head'``, ``'roi_head.bbox_head.loss_cls'``.
        low, high: The levels of every weight in the screening. 1 is one of them or between them.
        sampled: Whether it is searched, too, how often the images of a data set are drawn. Default: False.

    Raises:
        WeightError: The levels are not two numbers around 1, or there is nothing to search.
    """

    target: str
    datasets: tuple[str, ...]
    addresses: tuple[str, ...]
    low: float = 0.1
    high: float = 1.0
    sampled: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.low <= 1 <= self.high or self.low == self.high:
            raise WeightError(
                f"--low is {self.low:g} and --high is {self.high:g}; the range of the weights must start above 0 and contain 1, "
                "the weight of the unweighted detector."
            )
        if not self.datasets or not self.addresses:
            raise WeightError("there is nothing to search: no data set besides the target, or no head.")

    @property
    def parameters(self) -> dict[str, tuple[str, str]]:
        """The data set and address of every parameter, by its name ``'<data set>: <address>'``. ``DRAWN`` may be an address."""
        addresses = (*self.addresses, DRAWN) if self.sampled else self.addresses
        return {f"{name}: {address}": (name, address) for name in self.datasets for address in addresses}

    @property
    def weights(self) -> dict[str, tuple[str, str]]:
        """The parameters that are weights."""
        return {name: where for name, where in self.parameters.items() if where[1] in self.addresses}

    @property
    def factors(self) -> list[Factor]:
        """The parameters and their levels in a screening."""
        return [Factor(name, self.low, self.high) for name in self.parameters]

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of a parameter, with a logarithmic scale between them."""
        return self.low / _BEYOND, self.high * _BEYOND

    @property
    def unweighted(self) -> dict[str, float]:
        """The parameters of the unweighted detector, all 1."""
        return dict.fromkeys(self.parameters, 1.0)

    def block(self, weights: Mapping[str, Any], parameters: Mapping[str, float]) -> dict[str, Any]:
        """The block for a choice of parameters, rounded to three digits.

        Args:
            weights: The config's own block. Its weights at addresses that are not searched stay.
            parameters: The value of every parameter, by name.
        """
        block: dict[str, Any] = {}
        for dataset in (self.target, *self.datasets):
            others = {target: weight for target, weight in _table(weights, dataset).items() if target not in self.addresses}
            if dataset == self.target:
                ones = dict.fromkeys(self.addresses, 1.0)
                block[dataset] = {**others, **ones} if any(weight != 1 for weight in others.values()) else 1.0
            else:
                chosen = {address: rounded(parameters[f"{dataset}: {address}"]) for address in self.addresses}
                block[dataset] = {**others, **chosen}
        return block

    def rates(self, parameters: Mapping[str, float]) -> dict[str, float]:
        """How often an image of each data set is drawn, the target's at 1. Empty where all are drawn as in the config."""
        rates = {name: rounded(parameters.get(f"{name}: {DRAWN}", 1.0)) for name in self.datasets}
        return {} if set(rates.values()) == {1.0} else {self.target: 1.0, **rates}

    def kept(self, weights: Mapping[str, Any], book: AddressBook) -> list[tuple[str, str]]:
        """The data set and target of every weight in a block that is not searched but lies inside a searched head."""
        searched = [book.at(address) for address in self.addresses]
        kept = []
        for dataset in (self.target, *self.datasets):
            for target in _table(weights, dataset):
                at = book.at(target)
                inside = [
                    a for a in searched if at.specificity > a.specificity and a.covers(at.path, at.loss or "", at.background)
                ]
                if inside and target not in self.addresses:
                    kept.append((dataset, target))
        return kept

    def own(self, block: Block, book: AddressBook, normalize: bool) -> tuple[dict[str, float] | None, str]:
        """Converts a config's own weights to parameters, if the search can try them.

        Args:
            block: The config's own weights.
            book: The addresses of its model.
            normalize: Whether its weights are normalised. Then only their ratios matter, and the target may weigh other than 1.

        Returns:
            The value of every parameter and ``''``; or None and the reason; or None and ``''`` if the config has no weights.
        """
        parameters = dict(self.unweighted)
        low, high = self.range
        for name, (dataset, address) in self.weights.items():
            given, of_target = (_weight_at(block.get(which, {}), address, book) for which in (dataset, self.target))
            if not isinstance(given, Constant) or not isinstance(of_target, Constant):
                return None, f"they change over time in {address}"
            if of_target.value == 0 or (of_target.value != 1 and not normalize):
                return None, f"{self.target!r} weighs {of_target} in {address}, but 1 in the search"
            parameters[name] = rounded(given.value / of_target.value)
            if not low <= parameters[name] <= high:
                times = "" if of_target.value == 1 else f" times as much as {self.target!r}"
                return None, f"{dataset!r} weighs {parameters[name]:g}{times} in {address}, outside {low:.2g} to {high:.2g}"
        return (None, "") if parameters == self.unweighted else (parameters, "")


def top_heads(paths: Iterable[str]) -> tuple[str, ...]:
    """The outermost heads of a model: the shortest prefix of each path that ends in ``head``.

    ``'roi_head.bbox_head.0'`` -> ``'roi_head'``, ``'student.rpn_head'`` -> ``'student.rpn_head'``.
    """
    heads = {}
    for path in paths:
        parts = path.split(".")
        end = next((number for number, part in enumerate(parts, 1) if part.endswith("head")), len(parts))
        heads[".".join(parts[:end])] = True
    return tuple(heads)


def rounded(weight: float) -> float:
    """Rounds a weight to three significant digits, so that the training uses exactly the printed weight."""
    return float(f"{weight:.{_DIGITS}g}")


def _table(weights: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """The weights of a data set in a config's block, by target."""
    if dataset not in weights:
        return {}
    given = weights[dataset]
    if isinstance(given, Mapping) and not is_schedule(given):
        return {target_of(target): weight for target, weight in given.items()}
    return {"": given}


def _weight_at(given: Mapping[str, Weight], target: str, book: AddressBook) -> Weight:
    """The weight of a data set at an address as a whole: the most specific of those at or above the address."""
    address = book.at(target)
    by_address = {book.at(name): weight for name, weight in given.items()}
    return most_specific(by_address, address.path, address.loss or "", Constant(1.0), address.background)

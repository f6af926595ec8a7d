"""The mix: which data sets are trained on, what each weighs in each head at each moment, and what share of the head it gets."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from headweights.addresses import Address, AddressBook
from headweights.block import Block
from headweights.errors import WeightError
from headweights.schedules import Constant, Schedule, Weight

Source = Literal["hook", "pipeline", "default"]


def _ones(head: str, loss: str) -> float:
    return 1.0


@dataclass(frozen=True)
class DataSet:
    """What is known of one data set of the mix.

    Args:
        name: What the block calls it.
        images: How many pictures it has; None where its annotations could not be opened.
        drawn: How often its pictures are drawn, in a unit that is the same for all data sets of the mix: pictures an epoch.
        objects: How many annotated objects it has; None where nobody counted.
        classes: The classes that it annotates.
        annotations: Where its annotations are, for people.
        fields: The weights that its pipelines set in the metainfo. They win over the block where both speak of an address.
        own: The mean over its images of their own weights, by (head path, loss).
    """

    name: str
    images: int | None
    drawn: float
    objects: int | None = None
    classes: tuple[str, ...] = ()
    annotations: str = ""
    fields: Mapping[Address, float] = field(default_factory=dict)
    own: Callable[[str, str], float] = _ones


@dataclass(frozen=True)
class Moment:
    """A moment of the training: iterations and epochs from 0."""

    iteration: int = 0
    epoch: int = 0


START = Moment()


@dataclass(frozen=True)
class Given:
    """What was given for a term of a data set, and by whom: the hook's block, the data set's pipeline, or nobody."""

    weight: Weight
    source: Source


class Mix:
    """The data sets of a training and their weights in the heads of a model.

    Args:
        datasets: The data sets.
        book: The addresses of the model.
        block: What the hook's block says, by data set and address; see :func:`resolve`.
        normalize: Whether the weights of each loss of each head are scaled to a mean of 1 over the mix, at every moment, so that
            they shift weight between data sets and leave the head's effective learning rate as it was. Default: False.
    """

    def __init__(
        self,
        datasets: Sequence[DataSet],
        book: AddressBook,
        block: Mapping[str, Mapping[Address, Weight]],
        normalize: bool = False,
    ) -> None:
        self.datasets = {dataset.name: dataset for dataset in datasets}
        self.book = book
        self.normalize = normalize
        self._block = block
        self._is_constant = all(isinstance(weight, Constant) for given in self._block.values() for weight in given.values())
        self._in_force: tuple[Mapping[str, Mapping[Address, float]], Mapping[tuple[str, str], float]] | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is known of every data set how many pictures it has, and so what share it gets."""
        return all(dataset.images is not None for dataset in self.datasets.values())

    @property
    def terms(self) -> list[tuple[str, str]]:
        """Every (head path, loss) that has a weight of its own."""
        return self.book.terms

    def given(self, dataset: str, head: str, loss: str) -> Given:
        """What was given for a loss of the head at a path: of all addresses that cover it the most specific."""
        fields = self.datasets[dataset].fields
        candidates: dict[Address, Given] = {
            address: Given(weight, "hook") for address, weight in self._block.get(dataset, {}).items()
        }
        candidates.update({address: Given(Constant(value), "pipeline") for address, value in fields.items()})
        covering = [address for address in candidates if address.covers(head, loss)]
        if not covering:
            return Given(Constant(1.0), "default")
        return candidates[max(covering, key=lambda address: address.specificity)]

    def weight(self, dataset: str, head: str, loss: str, moment: Moment = START) -> float:
        """What a data set weighs in a loss at a moment, as given, before it is normalised and without its images' own weights."""
        return self.given(dataset, head, loss).weight.at(moment.iteration, moment.epoch)

    def effective(self, dataset: str, head: str, loss: str, moment: Moment = START) -> float:
        """What a picture of a data set weighs on average: as given, times the mean of its images' own weights, normalised."""
        return self._raw(dataset, head, loss, moment) * self._scale(head, loss, moment)

    def mean(self, head: str, loss: str, moment: Moment = START) -> float:
        """The mean weight of the pictures that are drawn, before it is normalised: the factor on the head's learning rate."""
        drawn = sum(dataset.drawn for dataset in self.datasets.values())
        return sum(dataset.drawn * self._raw(dataset.name, head, loss, moment) for dataset in self.datasets.values()) / (
            drawn or 1.0
        )

    def shares(self, head: str, loss: str, moment: Moment = START) -> dict[str, float]:
        """The effective share of each data set: pictures drawn times weight, over the sum of all; 0 where all weigh 0."""
        effective = {
            dataset.name: dataset.drawn * self._raw(dataset.name, head, loss, moment) for dataset in self.datasets.values()
        }
        total = sum(effective.values())
        return {name: part / total if total else 0.0 for name, part in effective.items()}

    def in_force(self, moment: Moment) -> tuple[Mapping[str, Mapping[Address, float]], Mapping[tuple[str, str], float]]:
        """What the block says at a moment: the weights of every data set by address, and the factors that normalise each loss."""
        if self._in_force is None or not self._is_constant:
            weights = {
                dataset: {
                    address: weight.at(moment.iteration, moment.epoch) for address, weight in self._block.get(dataset, {}).items()
                }
                for dataset in self.datasets
            }
            terms = {*self.terms, *((head, "") for head in self.book.weighted)}
            scales = {term: self._scale(*term, moment) for term in terms} if self.normalize else {}
            self._in_force = weights, scales
        return self._in_force

    @property
    def schedules(self) -> Iterable[tuple[str, Address, Schedule]]:
        """Every weight that changes: its data set, address and schedule."""
        for dataset, given in self._block.items():
            for address, weight in given.items():
                if isinstance(weight, Schedule):
                    yield dataset, address, weight

    def _raw(self, dataset: str, head: str, loss: str, moment: Moment) -> float:
        return self.weight(dataset, head, loss, moment) * self.datasets[dataset].own(head, loss)

    def _scale(self, head: str, loss: str, moment: Moment) -> float:
        mean = self.mean(head, loss, moment) if self.normalize else 1.0
        return 1 / mean if mean else 1.0


def resolve(datasets: Iterable[str], book: AddressBook, block: Block) -> tuple[dict[str, dict[Address, Weight]], list[str]]:
    """A block with addresses for targets, as far as its names exist; and of each that does not, what is wrong with it."""
    names = list(datasets)
    resolved: dict[str, dict[Address, Weight]] = {}
    problems = []
    for dataset, of_targets in block.items():
        if dataset not in names:
            problems.append(no_such_dataset(f"weights: {dataset!r}", dataset, names))
        for target, weight in of_targets.items():
            try:
                address = book.at(target)
            except WeightError as error:
                problems.append(f"weights: data set {dataset!r}: {error}")
                continue
            if dataset in names:
                resolved.setdefault(dataset, {})[address] = weight
    return resolved, problems


def no_such_dataset(subject: str, name: str, names: Iterable[str]) -> str:
    """The sentence for a name that no data set has."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    said = f" Nearest valid: {near[0]!r}." if near else ""
    return f"{subject} is no data set of this training.{said} Its data sets: {', '.join(map(repr, names)) or 'none'}."

"""The mix: the data sets of a training, what each weighs in each loss at each moment, and its share of the loss."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from headweights.batch.in_force import InForce
from headweights.errors import WeightError
from headweights.weights.addresses import Address, AddressBook, most_specific
from headweights.weights.block import Block
from headweights.weights.schedules import Constant, Schedule, Weight


@dataclass(frozen=True)
class DataSet:
    """One data set of the mix.

    Args:
        name: Its name in the block.
        images: The number of its images; None where its annotations could not be opened.
        drawn: How often its images are drawn, in a unit that all data sets of the mix share: images an epoch.
        objects: The number of its annotated objects; None where it is unknown.
        classes: The classes that it annotates.
        annotations: Where its annotations are, for people.
        fields: The weights that its pipelines set in the metainfo. They win over the block at the same address.
        own: The mean of its images' own weights, by (head path, loss).
        weighted_objects: How many of its objects weigh other than 1 by themselves, and the mean weight of all its objects.
        labelled: Those of its classes that it labels. None stands for all of them.
        objects_by_class: The number of its objects by class; None where it is unknown.
    """

    name: str
    images: int | None
    drawn: float
    objects: int | None = None
    classes: tuple[str, ...] = ()
    annotations: str = ""
    fields: Mapping[Address, float] = field(default_factory=dict)
    own: Callable[[str, str], float] = lambda head, loss: 1.0
    weighted_objects: tuple[int, float] = (0, 1.0)
    labelled: tuple[str, ...] | None = None
    objects_by_class: Mapping[str, int] | None = None

    @property
    def unlabelled(self) -> frozenset[int]:
        """The indices of the classes that it does not label."""
        labelled = self.classes if self.labelled is None else self.labelled
        return frozenset(number for number, name in enumerate(self.classes) if name not in labelled)


@dataclass(frozen=True)
class Moment:
    """A moment of the training: its iteration and epoch, from 0."""

    iteration: int = 0
    epoch: int = 0


START = Moment()


@dataclass(frozen=True)
class Given:
    """The weight of a data set in a loss and who gave it: the hook's block, the data set's pipeline, or nobody."""

    weight: Weight
    source: Literal["hook", "pipeline", "default"]


class Mix:
    """The data sets of a training and their weights in the heads of a model.

    Args:
        datasets: The data sets.
        book: The addresses of the model.
        block: The weights of the hook's block, by data set and address; see :func:`addressed_block`.
        normalize: Whether the weights of each loss are scaled to a mean of 1 over the mix, at every moment. They then shift
            weight between data sets and leave the head's effective learning rate alone. Default: False.
        classifying: The losses that score classes and can leave out those that a data set does not label, as (head path, loss).
    """

    def __init__(
        self,
        datasets: Sequence[DataSet],
        book: AddressBook,
        block: Mapping[str, Mapping[Address, Weight]],
        normalize: bool = False,
        classifying: Collection[tuple[str, str]] = (),
    ) -> None:
        self.classifying = frozenset(classifying)
        self._unlabelled = {dataset.name: dataset.unlabelled for dataset in datasets if dataset.unlabelled}
        self.datasets = {dataset.name: dataset for dataset in datasets}
        self.book = book
        self.normalize = normalize
        self._block = block
        # A step looks at these data sets only: all others weigh what they weighed before.
        self._changing = list(dict.fromkeys(dataset for dataset, _, _ in self.schedules))
        self._drawn = sum(dataset.drawn for dataset in self.datasets.values())
        self._drawn_weights_before: dict[tuple[str, str], dict[str, float]] = {}
        self._in_force: InForce | None = None

    @property
    def is_known(self) -> bool:
        """Whether the number of images is known for every data set, and with it the shares."""
        return all(dataset.images is not None for dataset in self.datasets.values())

    @property
    def terms(self) -> list[tuple[str, str]]:
        """Every (head path, loss) that has a weight of its own."""
        return self.book.terms

    def given(self, dataset: str, head: str, loss: str, background: bool = False) -> Given:
        """Returns the most specific weight that was given for a loss of the head at a path: for objects or the background."""
        candidates = {address: Given(weight, "hook") for address, weight in self._block.get(dataset, {}).items()}
        for address, value in self.datasets[dataset].fields.items():
            candidates[address] = Given(Constant(value), "pipeline")
        return most_specific(candidates, head, loss, Given(Constant(1.0), "default"), background)

    def weight(self, dataset: str, head: str, loss: str, moment: Moment = START, background: bool = False) -> float:
        """Returns the weight of a data set in a loss as given: not normalised, without its images' own weights."""
        return self.given(dataset, head, loss, background).weight.at(moment.iteration, moment.epoch)

    def effective(self, dataset: str, head: str, loss: str, moment: Moment = START) -> float:
        """Returns the mean weight of a data set's images: as given, times their own weights, normalised."""
        return self._raw(dataset, head, loss, moment) * self._scale(head, loss, moment)

    def mean(self, head: str, loss: str, moment: Moment = START) -> float:
        """Returns the mean weight of the drawn images before normalisation: a factor on the head's learning rate."""
        return sum(self._drawn_weights(head, loss, moment).values()) / (self._drawn or 1.0)

    def shares(self, head: str, loss: str, moment: Moment = START) -> dict[str, float]:
        """Returns the effective share of each data set, images drawn times weight over the sum of all; 0 where all weigh 0."""
        effective = self._drawn_weights(head, loss, moment)
        total = sum(effective.values())
        return {name: part / total if total else 0.0 for name, part in effective.items()}

    def in_force(self, moment: Moment) -> InForce:
        """Returns the weights of every data set at a moment, and the factors that normalise each loss."""
        before = self._in_force
        if before is not None and not self._changing:
            return before
        names = self.datasets if before is None else self._changing
        weights: dict[str, Mapping[Address, float]] = {} if before is None else {**before.datasets}
        weights.update({name: self._weights_of(name, moment) for name in names})
        terms = {*self.terms, *((head, "") for head in self.book.weighted)}
        scales = {term: self._scale(*term, moment) for term in terms} if self.normalize else {}
        self._in_force = InForce(weights, scales, self._unlabelled, frozenset(head for head, _ in self.classifying))
        return self._in_force

    def moments(self, moment_of: Callable[[Schedule, int], Moment] | None = None) -> list[Moment]:
        """Returns the moments at which some weight is set: the start, and the points of the schedules.

        Args:
            moment_of: Converts a time of a schedule to a moment. Default: None, the time in its own unit and 0 in the other.
        """

        def alone(schedule: Schedule, time: int) -> Moment:
            return Moment(time, 0) if schedule.by == "iter" else Moment(0, time)

        times = {(moment_of or alone)(schedule, time) for _, _, schedule in self.schedules for time, _ in schedule.points}
        return sorted({START, *times}, key=lambda moment: (moment.iteration, moment.epoch))

    @property
    def schedules(self) -> Iterable[tuple[str, Address, Schedule]]:
        """Every weight that changes: its data set, address and schedule."""
        for dataset, given in self._block.items():
            for address, weight in given.items():
                if isinstance(weight, Schedule):
                    yield dataset, address, weight

    def _weights_of(self, dataset: str, moment: Moment) -> dict[Address, float]:
        given = self._block.get(dataset, {})
        return {address: weight.at(moment.iteration, moment.epoch) for address, weight in given.items()}

    def _drawn_weights(self, head: str, loss: str, moment: Moment) -> dict[str, float]:
        """Images drawn times weight, by data set."""
        before = self._drawn_weights_before.get((head, loss))
        names = self.datasets if before is None else self._changing
        weights = {name: self.datasets[name].drawn * self._raw(name, head, loss, moment) for name in names}
        self._drawn_weights_before[head, loss] = weights if before is None else {**before, **weights}
        return self._drawn_weights_before[head, loss]

    def _raw(self, dataset: str, head: str, loss: str, moment: Moment) -> float:
        return self.weight(dataset, head, loss, moment) * self.datasets[dataset].own(head, loss)

    def _scale(self, head: str, loss: str, moment: Moment) -> float:
        mean = self.mean(head, loss, moment) if self.normalize else 1.0
        return 1 / mean if mean else 1.0


def addressed_block(
    names: Collection[str], book: AddressBook, block: Block
) -> tuple[dict[str, dict[Address, Weight]], list[str]]:
    """Replaces the targets of a block by addresses; also returns what is wrong with each name that does not exist.

    Args:
        names: The names of the data sets.
        book: The addresses of the model.
        block: The block. Weights of other data sets and other targets are left out.
    """
    addressed: dict[str, dict[Address, Weight]] = {}
    problems = []
    for dataset, of_targets in block.items():
        if dataset not in names:
            problems.append(no_such_dataset(f"weights: {dataset!r}", dataset, names))
        for target, weight in of_targets.items():
            try:
                addressed.setdefault(dataset, {})[book.at(target)] = weight
            except WeightError as error:
                problems.append(f"weights: data set {dataset!r}: {error}")
    return {name: weights for name, weights in addressed.items() if name in names}, problems


def no_such_dataset(subject: str, name: str, names: Collection[str]) -> str:
    """Returns the error message for a name that no data set has."""
    near = difflib.get_close_matches(name, names, n=1)
    nearest = f" Nearest valid: {near[0]!r}." if near else ""
    return f"{subject} is no data set of this training.{nearest} Its data sets: {', '.join(map(repr, names)) or 'none'}."

"""Puts a training together: its data sets with their names and weights, the block, and the losses of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headweights.errors import WeightError
from headweights.images.table import mean_weights
from headweights.mixture.labelled import read_labelled, wrong_labels
from headweights.mixture.mix import DataSet, Mix, addressed_block, no_such_dataset
from headweights.mixture.problems import Length, Problem, problems_of, wrong_backgrounds
from headweights.mixture.table import plain, table_of
from headweights.transformers.data.categories import category_names, class_problem
from headweights.transformers.data.mixed import mixed_in
from headweights.transformers.weighting.labels import refuse_unweighted
from headweights.transformers.weighting.models import ModelLosses
from headweights.weights.addresses import AddressBook, listed
from headweights.weights.block import Block
from headweights.weights.schedules import Constant


@dataclass
class Checked:
    """The result of a check; as text, a table of the mix and a line for each problem.

    Args:
        mix: The data sets and their weights, as far as they are valid.
        problems: Everything questionable about them.
    """

    mix: Mix
    problems: list[Problem] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([plain(table_of(self.mix)), *(f"{problem.kind}: {problem.message}" for problem in self.problems)])

    @property
    def stops(self) -> list[str]:
        """The problems that stop a training."""
        return [problem.message for problem in self.problems if problem.stops]


def checked_mix(
    losses: ModelLosses,
    dataset: Any,
    block: Block,
    normalize: bool,
    target: str | None,
    length: Length,
    labelled: Mapping[str, Any],
    id2label: Mapping[int, str],
) -> Checked:
    """Checks a training; finds every problem at once and raises nothing.

    Args:
        losses: The losses of the model.
        dataset: The training data. Without a mix in it, the data sets are those that the block names.
        block: The weights by data set and target.
        normalize: See :class:`headweights.mixture.mix.Mix`.
        target: The data set that the detector is meant for.
        length: The length of the training.
        labelled: Which classes each data set labels; see :func:`headweights.mixture.labelled.read_labelled`.
        id2label: The model's names of its classes. Empty where they are unknown.
    """
    datasets, wrong = _datasets(dataset, {**block, **labelled}, losses.book)
    datasets, unread = _with_labels(datasets, labelled, id2label, dataset)
    wrong += unread
    names = [known.name for known in datasets]
    if target is not None and target not in names:
        wrong.append(no_such_dataset(f"LossWeights: target: {target!r}", target, names))
    if normalize and block and not any(known.drawn for known in datasets):
        wrong.append(
            "LossWeights: normalize is True, but nothing says how often each data set is drawn: the training data is no mix. "
            "Make it with weights.mix(...)."
        )
    for name, given in block.items():
        everywhere = given.get("", Constant(1.0))
        if everywhere != Constant(1.0):
            try:
                refuse_unweighted(losses, everywhere, f"weights: data set {name!r}")
            except WeightError as error:
                wrong.append(str(error))
    addressed, unknown = addressed_block(names, losses.book, block)
    mix = Mix(datasets, losses.book, addressed, normalize, losses.classifying)
    if any(known.unlabelled for known in datasets):
        wrong += [f"labelled: {loss} cannot leave a class out: {reason}." for loss, reason in losses.fixed_classes.items()]
    wrong += [*unknown, *wrong_labels(mix), *wrong_backgrounds(mix)]
    stops = [Problem("bad input", message, stops=True) for message in wrong]
    return Checked(mix, [*stops, *_class_problems(dataset, id2label), *problems_of(mix, length)])


def unlabelled_in_evaluation(mix: Mix, dataset: Any) -> str | None:
    """Says which classes an evaluation data set does not label, where a data set of the training does not label all; else None.

    Args:
        mix: The data sets of the training.
        dataset: The evaluation data set: a mix of data sets with the same names, or one that lists its categories.
    """
    if not any(known.unlabelled for known in mix.datasets.values()):
        return None
    classes = next(iter(mix.datasets.values())).classes
    mixed = mixed_in(dataset)
    names = {source.name for source in mixed.sources} & set(mix.datasets) if mixed is not None else set()
    labelled: list[Sequence[str] | None] = [mix.datasets[name].labelled for name in names]
    labelled = labelled or [category_names(dataset)]
    missing = [name for name in classes if any(of_one is not None and name not in of_one for of_one in labelled)]
    if not missing:
        return None
    return (
        f"The evaluation data does not label {listed(list(map(repr, missing)), 8)}. Its metrics say nothing about these classes, "
        "or count right detections of them as wrong."
    )


def _class_problems(dataset: Any, id2label: Mapping[int, str]) -> list[Problem]:
    mixed = mixed_in(dataset)
    # A data set that a column splits is in the mix several times.
    sources = {id(source.dataset): (source.name, source.dataset) for source in mixed.sources} if mixed else {}
    found = [class_problem(name, source, id2label) for name, source in sources.values()]
    return [problem for problem in found if problem is not None]


def _with_labels(
    datasets: Sequence[DataSet], labelled: Mapping[str, Any], id2label: Mapping[int, str], dataset: Any
) -> tuple[list[DataSet], list[str]]:
    """The data sets with what they label; also returns what is wrong with it."""
    mixed = mixed_in(dataset)
    sources = {source.name: source.dataset for source in mixed.sources} if mixed is not None else {}

    def categories(name: str) -> list[str]:
        found = category_names(sources.get(name))
        if found is None:
            raise WeightError("nothing lists its categories: no COCO API, no ClassLabel. Give the classes as a list.")
        return found

    classes = tuple(str(id2label[number]) for number in sorted(id2label))
    labels, wrong = read_labelled(labelled, {known.name: classes for known in datasets}, categories, "LossWeights")
    return [replace(known, classes=classes, labelled=labels.get(known.name)) for known in datasets], wrong


def _datasets(dataset: Any, block: Mapping[str, Any], book: AddressBook) -> tuple[list[DataSet], list[str]]:
    mixed = mixed_in(dataset)
    if mixed is None:
        return [DataSet(name, None, 0.0) for name in block], []
    found, wrong = [], []
    for source, drawn in zip(mixed.sources, mixed.drawn):
        try:
            own = mean_weights(source.own, book)
        except WeightError as error:
            wrong.append(f"images: data set {source.name!r}: {error}")
            own = mean_weights(None, book)
        found.append(DataSet(source.name, len(source) if source.is_sized else None, drawn, own=own))
    return found, wrong

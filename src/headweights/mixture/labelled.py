"""Which classes each data set of a mix labels. Objects of the other classes may be in its images, without a box."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from headweights.errors import WeightError
from headweights.mixture.mix import Mix, no_such_dataset
from headweights.mixture.settings import CATEGORIES
from headweights.weights.addresses import listed

_CLASSES_SHOWN = 8


def read_labelled(
    given: Mapping[str, Any], classes: Mapping[str, Sequence[str]], categories: Callable[[str], Sequence[str]], owner: str
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Reads which classes each data set labels; also returns what is wrong.

    Args:
        given: By data set: a list of classes, or ``'categories'``.
        classes: The classes of every data set of the mix.
        categories: Returns the categories in the annotation file of a data set, or raises a WeightError.
        owner: What errors call the owner of the argument.

    Returns:
        The classes that each of the data sets labels, in the order of the model. Data sets that are not given label all.
    """
    labelled: dict[str, tuple[str, ...]] = {}
    problems = []
    for name, value in given.items():
        where = f"{owner}: labelled: {name!r}"
        if name not in classes:
            problems.append(no_such_dataset(where, name, classes))
            continue
        known = classes[name]
        if not known:
            problems.append(f"{where}: the names of its classes are not known.")
            continue
        try:
            names = [one for one in categories(name) if one in known] if value == CATEGORIES else list(value)
        except WeightError as error:
            problems.append(f"{where}: {error}")
            continue
        problems += [_no_such_class(where, one, known) for one in names if one not in known]
        labelled[name] = tuple(one for one in known if one in names)
    return labelled, problems


def wrong_labels(mix: Mix) -> Iterator[str]:
    """Yields what is wrong with what the data sets of a mix label: objects that contradict it, and classes that nobody labels."""
    restricted = [dataset for dataset in mix.datasets.values() if dataset.labelled is not None]
    for dataset in restricted:
        for name, count in (dataset.objects_by_class or {}).items():
            if count and name not in (dataset.labelled or ()):
                yield (
                    f"labelled: data set {dataset.name!r} has {count:,} objects of class {name!r}, and labelled says that it "
                    f"does not label it. It labels {', '.join(map(repr, dataset.labelled or ())) or 'nothing'}."
                )
    for name in next((dataset.classes for dataset in restricted), ()):
        labelling = [each for each in mix.datasets.values() if each.labelled is None or name in each.labelled]
        if not labelling:
            yield f"labelled: no data set labels class {name!r}, so nothing shows what is not one. Leave it out."
            continue
        moments = mix.moments()
        for head, loss in sorted(mix.classifying):
            weights = [mix.weight(each.name, head, loss, moment) for each in labelling for moment in moments]
            if not any(weights):
                target = f"{head}.{loss}" if loss else head
                yield (
                    f"labelled: the data sets that label class {name!r} weigh 0 in {target}, so nothing shows it what is not one."
                )


def labels_in_words(labelled: Sequence[str], classes: Sequence[str]) -> str:
    """Describes what a data set labels: ``'car, person'``, or ``'all but dog'``, or ``'3 of 80'``."""
    missing = [name for name in classes if name not in labelled]
    if not missing:
        return "all"
    if len(labelled) <= _CLASSES_SHOWN:
        return listed(list(labelled), _CLASSES_SHOWN) or "nothing"
    return (
        f"all but {listed(missing, _CLASSES_SHOWN)}" if len(missing) <= _CLASSES_SHOWN else f"{len(labelled)} of {len(classes)}"
    )


def _no_such_class(where: str, name: object, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    nearest = f" Nearest valid: {near[0]!r}." if near else ""
    return f"{where}: {name!r} is no class of this training.{nearest} Its classes: {listed(list(map(repr, known)), 12)}."

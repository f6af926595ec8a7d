"""What a data set calls its categories, and whether the model calls them otherwise (``config.id2label``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import nn

from headweights.contributions.replay import undisturbed
from headweights.mixture.problems import Problem
from headweights.weights.addresses import listed

# What the categories of objects are called in data sets of the library `datasets`.
_KEYS = ("category", "categories", "category_id", "class", "classes", "class_labels", "label", "labels")
_SHOWN = 8
# How many items are searched for an object of a category in question, and how many of them are opened.
_SEARCHED, _OPENED = 1000, 8


@dataclass(frozen=True)
class Categories:
    """The categories of a data set.

    Args:
        names: Their names by number.
        of_item: Returns the numbers of the categories in an item, as its annotations have them.
    """

    names: Mapping[int, str]
    of_item: Callable[[int], set[int]]


def class_problem(name: str, dataset: Any, id2label: Mapping[int, str]) -> Problem | None:
    """Says whether a model calls a category of a data set by the name of another one. None where it does not, or nothing tells.

    It stops the training where an item shows that the labels are the numbers of the categories. A data set may renumber them.

    Args:
        name: The data set's name.
        dataset: It is from the library ``datasets`` with a ``ClassLabel`` for its objects, or around COCO's API (``coco`` and
            ``ids``, as torchvision's ``CocoDetection``).
        id2label: The model's names of the classes. A category whose name is not among them tells nothing.
    """
    dataset = _unwrapped(dataset)
    categories = _of_coco(dataset) or _of_columns(dataset)
    if categories is None:
        return None
    known = set(id2label.values())
    wrong = {n: name for n, name in categories.names.items() if name in known and id2label.get(n) != name}
    are_labels = _are_labels(dataset, categories, set(wrong)) if wrong else False
    if are_labels is False:
        return None
    said = [f"{number} is {category!r}, in the model {_called(id2label, number)}" for number, category in wrong.items()]
    return Problem(
        "class order",
        f"data set {name!r} and the model's id2label number the classes differently: {listed(said, _SHOWN)}. Give the model the "
        "names in the order of the data set (id2label=..., label2id=...), or renumber the categories."
        + ("" if are_labels else " All is well if your collator renumbers them."),
        stops=are_labels is True,
    )


def category_names(dataset: Any) -> list[str] | None:
    """Returns the names of the categories that a data set lists; see :func:`class_problem`. None where it does not."""
    dataset = _unwrapped(dataset)
    found = _of_coco(dataset) or _of_columns(dataset)
    return None if found is None else list(found.names.values())


def _called(id2label: Mapping[int, str], number: int) -> str:
    return repr(id2label[number]) if number in id2label else "no class"


def _unwrapped(dataset: Any) -> Any:
    """The data set inside of others, such as torch's ``Subset``."""
    while not hasattr(dataset, "coco") and not hasattr(dataset, "features") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return dataset


def _of_coco(dataset: Any) -> Categories | None:
    coco, ids = getattr(dataset, "coco", None), getattr(dataset, "ids", None)
    if coco is None or ids is None:
        return None

    def of_item(number: int) -> set[int]:
        return {annotation["category_id"] for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[ids[number]]))}

    return Categories({number: described["name"] for number, described in coco.cats.items()}, of_item)


def _of_columns(dataset: Any) -> Categories | None:
    """The categories of a data set of the library ``datasets``."""
    features = getattr(dataset, "features", None)
    for column, feature in features.items() if isinstance(features, Mapping) else ():
        for names in _class_names(feature, column, is_inside=False):

            def of_item(number: int, column: str = column) -> set[int]:
                row = dataset.with_format(None).select_columns([column])[number]
                return set(_numbers(row[column], column))

            return Categories(dict(enumerate(names)), of_item)
    return None


def _class_names(feature: Any, key: str, is_inside: bool = True) -> Iterator[list[str]]:
    """The names of every ``ClassLabel`` of objects in a feature. Outside of a list, it is one of whole images."""
    inner = getattr(feature, "feature", feature)
    if isinstance(inner, Mapping):
        for inner_key, part in inner.items():
            yield from _class_names(part, inner_key)
    elif isinstance(inner, list):
        for part in inner:
            yield from _class_names(part, key)
    elif inner is not feature:
        yield from _class_names(inner, key)
    elif is_inside and key in _KEYS and hasattr(feature, "int2str"):
        yield list(feature.names)


def _numbers(value: Any, key: str) -> Iterator[int]:
    """The numbers of categories in a row, however it is nested."""
    if isinstance(value, Mapping):
        for inner_key, part in value.items():
            yield from _numbers(part, inner_key)
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part, key)
    elif key in _KEYS and isinstance(value, int):
        yield value


def _are_labels(dataset: Any, categories: Categories, wrong: set[int]) -> bool | None:
    """Whether items have the numbers of these categories as labels. None where no item tells.

    An item with objects of one category tells most, so those are opened first.
    """
    with suppress(Exception), undisturbed(nn.Module()):  # whatever a user's data set raises, the training will show it
        given = {number: categories.of_item(number) for number in range(min(len(dataset), _SEARCHED))}
        telling = sorted((number for number in given if given[number] & wrong), key=lambda number: len(given[number]))
        for number in telling[:_OPENED]:
            labels = _labels(dataset[number])
            if labels:
                return labels <= given[number]
    return None


def _labels(item: Any) -> set[int]:
    """The labels of the objects in an item: of a label dict, or of annotations that a collator makes one of."""
    target = item[1] if isinstance(item, tuple) and len(item) == 2 else item
    if isinstance(target, Mapping):
        target = target.get("labels", target.get("annotations", target))
    if isinstance(target, Mapping):
        target = [{"category_id": label} for label in target.get("class_labels", ())]
    return {int(annotation["category_id"]) for annotation in target}

"""Which class a data set labels a category of its COCO file as, and how to have that go by name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.utils import is_abs

from headweights.errors import WeightError
from headweights.patching import replaced
from headweights.weights.addresses import listed

_PAIRS_SHOWN = 8

# A category's name, and the class that its label stands for. None where the label is beyond the classes.
Pairs = Mapping[str, str | None]


class LabelsByName(dict[Any, int]):
    """The label of each category, numbered by name; so a data set tells that this has been done."""


def mislabelled(categories: Mapping[Any, str], labels: Mapping[Any, int], classes: Sequence[str]) -> Pairs:
    """Returns the categories that are labelled as another class, and as which.

    A category that none of the classes is named after is left out: its name tells nothing.

    Args:
        categories: The names of the categories that the file lists, by id.
        labels: The label of each category.
        classes: The classes in the order of the config.
    """
    known = set(classes)
    meant = {category: classes[label] if label < len(classes) else None for category, label in labels.items()}
    names = ((categories.get(category), name) for category, name in meant.items())
    return {category: name for category, name in names if category in known and category != name}


def labels_by_name(categories: Mapping[Any, str], classes: Sequence[str], where: str) -> LabelsByName:
    """Returns the label of each category that one of the classes is named after.

    Args:
        categories: The names of the categories that the file lists, by id.
        classes: The classes in the order of the config.
        where: The file, for errors.

    Raises:
        WeightError: Two categories have the name of the same class.
    """
    labels = {name: label for label, name in reversed(list(enumerate(classes)))}
    for name, count in Counter(categories.values()).items():
        if count > 1 and name in labels:
            raise WeightError(f"{where} lists {count} categories called {name!r}; to go by name, make them one.")
    return LabelsByName({category: labels[name] for category, name in categories.items() if name in labels})


def keep_categories(dataset: Any) -> None:
    """Keeps, in ``dataset.file_categories``, the names of all categories that the open annotation file lists, by id.

    mmdetection has the file open only while it loads a data set.
    """
    api = getattr(dataset, "coco", None) or getattr(dataset, "lvis", None)
    if api is not None and "file_categories" not in vars(dataset):
        dataset.file_categories = names_of(api)


def categories_of(dataset: Any) -> dict[Any, str] | None:
    """Returns the names of all categories that a data set's annotation file lists, by id. None where that is unknown."""
    return getattr(dataset, "file_categories", None)


def mislabelled_in(dataset: Any) -> Pairs:
    """Returns the categories of a loaded data set that are labelled as another class, and as which."""
    categories, labels = categories_of(dataset), getattr(dataset, "cat2label", None)
    return mislabelled(categories, labels, _classes(dataset)) if categories and isinstance(labels, dict) else {}


def label_by_name(dataset: Any) -> None:
    """Makes a data set label by name. To be called while it loads, before it parses an image.

    Raises:
        WeightError: See :func:`labels_by_name`.
    """
    if not isinstance(dataset.cat2label, LabelsByName):
        keep_categories(dataset)
        dataset.cat2label = labels_by_name(dataset.file_categories, _classes(dataset), dataset.ann_file)
        dataset.cat_ids = list(dataset.cat2label)


def load_by_name(dataset: Any) -> None:
    """Loads a data set again, now labelled by name.

    Raises:
        WeightError: See :func:`labels_by_name`; or the data set has another number of images then.
    """

    def parsing(parse: Callable[[Any], Any], raw: Any) -> Any:
        label_by_name(dataset)
        return parse(raw)

    images = len(dataset)
    proposals = getattr(dataset, "proposal_file", None)
    if proposals and not is_abs(proposals):
        dataset.proposal_file = os.path.abspath(proposals)  # else data_root would be put before it a second time
    dataset._fully_initialized = False
    with replaced(dataset, "parse_data_info", parsing):
        dataset.full_init()
    if len(dataset) != images:  # wrappers and samplers have counted already
        raise WeightError(
            f"{dataset.ann_file}: with its classes numbered by name, the {type(dataset).__name__} has {len(dataset)} images "
            f"instead of {images}. Number them by name in the data set itself, as CocoDatasetByName does."
        )


def in_words(pairs: Pairs, verb: str = "is labelled as") -> str:
    """Says which categories are taken for which class."""
    said = [f"{category!r} {verb} {repr(name) if name else 'no class at all'}" for category, name in pairs.items()]
    return listed(said, _PAIRS_SHOWN)


def names_of(api: Any) -> dict[Any, str]:
    """Returns the names of the categories of an open COCO file, by id."""
    return {category: str(described.get("name", "")) for category, described in api.cats.items()}


def _classes(dataset: Any) -> tuple[str, ...]:
    classes = dataset.metainfo.get("classes")
    return tuple(classes) if isinstance(classes, (tuple, list)) else ()

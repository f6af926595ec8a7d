"""The settings beside the weights that a user gives for a mix, checked by themselves."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from headweights.errors import WeightError

# In place of a list of the classes that a data set labels: those that its annotation file lists.
CATEGORIES = "categories"
# The one value of `classes`: number them by name.
BY_NAME = "by name"


def _are_names(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return is_list and all(isinstance(name, str) and name for name in value)


def _are_labels(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_are_names(names) or names == CATEGORIES for names in value.values())


# What each must be if it is given, in code and in words.
_SETTINGS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "datasets": (_are_names, "a list of names, one for each data set"),
    "images": (lambda value: isinstance(value, Mapping), "a table: dict(<data set>=<where its weights are>, ...)"),
    "labelled": (_are_labels, f"a table: dict(<data set>=[<class>, ...]), or {CATEGORIES!r} in place of the list"),
    "normalize": (lambda value: isinstance(value, bool), "True or False"),
    "objects": (lambda value: isinstance(value, bool), "True or False"),
    "target": (lambda value: isinstance(value, str) and value != "", "the name of a data set"),
    "classes": (lambda value: value == BY_NAME, repr(BY_NAME)),
    "interval": (
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
        "a number of iterations, or 0 for none",
    ),
}


def refuse_unknown(owner: str, unknown: Collection[str], known: Sequence[str]) -> None:
    """Refuses arguments that do not exist.

    Args:
        owner: What errors call the owner of the settings.
        unknown: The arguments that were given and do not exist.
        known: Those that exist.

    Raises:
        WeightError: There is an unknown one; the message has the nearest known one.
    """
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        nearest = f" Nearest valid: {near[0]!r}." if near else ""
        raise WeightError(f"{owner} has no argument {name!r}.{nearest} Its arguments: {', '.join(known)}.")


def check_settings(owner: str, **settings: Any) -> None:
    """Checks settings by name. None stands for one that is not given.

    Args:
        owner: What errors call the owner of the settings.

    Raises:
        WeightError: A value is not what it must be.
    """
    for name, value in settings.items():
        is_valid, needed = _SETTINGS[name]
        if value is not None and not is_valid(value):
            raise WeightError(f"{owner}: {name} is {value!r}; it must be {needed}.")

"""Corrects the block of a `LossWeightHook`: the weights as they were probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headweights.errors import WeightError
from headweights.mixture.problems import Length, Problem
from headweights.weights.addresses import AddressBook, field_of, target_of
from headweights.weights.block import checked_target
from headweights.weights.schedules import COURSES, is_schedule, parse_weight

# The kind of problem with classes that are labelled as another.
CLASS_ORDER = "class order"
# The arguments of the hook that fix a problem, by its kind.
_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {"learning rate": {"normalize": True}, CLASS_ORDER: {"classes": "by name"}}


class Fix:
    """Corrects a block entry by entry. Entries that it cannot guess go into `left_out`.

    Args:
        names: The names of the data sets.
        book: The addresses of the model; None if there is no model.
        length: The length of the training.
    """

    def __init__(self, names: Sequence[str], book: AddressBook | None, length: Length) -> None:
        self.names = names
        self.book = book
        self.length = length
        self.left_out: list[str] = []

    def block(self, weights: Any) -> dict[str, Any]:
        """The corrected block."""
        fixed: dict[str, Any] = {}
        if not isinstance(weights, Mapping):
            self.left_out.append(repr(weights))
            return fixed
        for given_name, given in weights.items():
            name = _nearest(given_name, self.names)
            if name is None or name in fixed:
                self.left_out.append(f"{given_name!r}: {given!r}")
            elif isinstance(given, Mapping) and not is_schedule(given):
                table = fixed[name] = {}
                for given_target, weight in given.items():
                    target, value = self._target(given_target), self._weight(weight)
                    if target is None or value is None or target in table:
                        self.left_out.append(f"{given_name!r}, {given_target!r}: {weight!r}")
                    else:
                        table[target] = value
            elif (value := self._weight(given)) is None:
                self.left_out.append(f"{given_name!r}: {given!r}")
            else:
                fixed[name] = value
        return fixed

    def _target(self, given: Any) -> str | None:
        try:
            target = checked_target(given, "")
            if self.book is not None:
                self.book.at(target)
            return target
        except WeightError:
            near = self.book.nearest(field_of(str(given))) if self.book is not None else []
            return target_of(near[0]) if near else None

    def _weight(self, given: Any) -> Any:
        try:
            given = float(given) if isinstance(given, str) else given
            if isinstance(given, Mapping) and (course := _nearest(given.get("schedule"), COURSES)):
                given = {**given, "schedule": course}
            as_given = parse_weight(given, "").as_given()
        except ValueError:  # a WeightError is one
            return None
        if isinstance(as_given, dict) and (end := self.length.of(as_given["by"])) is not None:
            as_given["points"] = _ending(as_given["points"], end)
        return as_given if isinstance(given, Mapping) else given  # a whole number stays one


def _nearest(name: Any, names: Iterable[str]) -> str | None:
    near = [name] if name in names else difflib.get_close_matches(str(name), names, n=1)
    return near[0] if near else None


def _ending(points: list[list[Any]], end: int) -> list[list[Any]]:
    """The points of a schedule, where the part after the end of the training is cut off and the last weight moved to the end."""
    before = [point for point in points if point[0] < end]
    return before + ([[end, points[-1][1]]] if points[-1][0] >= end else [])


def as_config(block: Mapping[str, Any], others: Mapping[str, Any], problems: Sequence[Problem], left_out: Sequence[str]) -> str:
    """Formats the corrected block as lines of a config.

    Args:
        block: The corrected weights.
        others: The hook's other arguments.
        problems: The problems that were found. Some are fixed by another argument, such as ``normalize=True``.
        left_out: The entries that were left out; they become comments.
    """
    arguments = dict(others)
    for problem in problems:
        arguments.update(_ARGUMENTS.get(problem.kind, {}))
    lines = ["custom_hooks = [", "    dict(", "        type='LossWeightHook',", "        weights={"]
    lines += [f"            {name!r}: {given!r}," for name, given in block.items()]
    lines += [f"            # left out: {entry}" for entry in left_out]
    lines.append("        },")
    lines += [f"        {name}={value!r}," for name, value in arguments.items()]
    return "\n".join([*lines, "    ),", "]"])

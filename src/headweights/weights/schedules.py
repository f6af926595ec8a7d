"""Weights over time: constant, or changing between points in steps, lines or half cosines."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from headweights.errors import WeightError
from headweights.weights.weight import checked_weight

# Maps elapsed time to elapsed change between two points, both as fractions from 0 to 1.
_COURSES: dict[str, Callable[[float], float]] = {
    "step": lambda way: 0.0,
    "linear": lambda way: way,
    "cosine": lambda way: (1 - math.cos(math.pi * way)) / 2,
}


@dataclass(frozen=True)
class Constant:
    """A weight that does not change."""

    value: float

    def at(self, iteration: int, epoch: int) -> float:
        """Returns the weight."""
        return self.value

    def as_given(self) -> Any:
        """Returns it as a config would spell it."""
        return self.value

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Schedule:
    """A weight that changes from point to point. It keeps the first value before the first point and the last after the last.

    Args:
        course: How it gets from one point to the next: ``'step'`` (it keeps the earlier value), ``'linear'``, or ``'cosine'``
            (half a cosine, flat at both points).
        points: (time, value) pairs in ascending order of time.
        by: The unit of time: iterations of the training loop or epochs, from 0. By epoch, a weight is constant within an epoch.
    """

    course: str
    points: tuple[tuple[int, float], ...]
    by: str

    def at(self, iteration: int, epoch: int) -> float:
        """Returns the weight in an iteration of an epoch, both counted from 0."""
        now = iteration if self.by == "iter" else epoch
        after = bisect.bisect_right(self.points, now, key=lambda point: point[0])
        if after == 0:
            return self.points[0][1]
        start, value = self.points[after - 1]
        if after == len(self.points):
            return value
        end, target = self.points[after]
        way = _COURSES[self.course]((now - start) / (end - start))
        return value + way * (target - value)  # in this form rounding cannot overshoot or fall below 0

    @property
    def end(self) -> int:
        """The time of its last point."""
        return self.points[-1][0]

    def as_given(self) -> Any:
        """Returns it as a config would spell it."""
        return dict(schedule=self.course, points=[list(point) for point in self.points], by=self.by)

    def __str__(self) -> str:
        return f"{self.points[0][1]:g} to {self.points[-1][1]:g} ({self.course}, {self.by} {self.points[0][0]} to {self.end})"


Weight = Constant | Schedule

COURSES = ("constant", *_COURSES)


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schedule: Literal["constant", "step", "linear", "cosine"]
    points: list[tuple[StrictInt, Any]] = Field(min_length=1)
    by: Literal["iter", "epoch"]


def is_schedule(given: Any) -> bool:
    """Whether a value from a config is a schedule: a dict with the key ``schedule`` or ``points``."""
    return isinstance(given, Mapping) and ("schedule" in given or "points" in given)


def parse_weight(given: Any, where: str) -> Weight:
    """Reads a weight from a config: a number, or ``dict(schedule=..., points=[(time, value), ...], by='iter' or 'epoch')``.

    Args:
        given: What the user gave.
        where: The subject of an error's sentence, e.g. ``"weights: data set 'real', 'rpn_head'"``.

    Raises:
        WeightError: It is neither a number >= 0 nor a schedule, or the schedule has missing, unknown or unordered entries.
    """
    if not is_schedule(given):
        return Constant(checked_weight(given, where))
    try:
        checked = _Given.model_validate(dict(given))
    except ValidationError as error:
        wrong = "; it ".join(map(_in_words, error.errors()))
        raise WeightError(f"{where}: its schedule {wrong}.") from None
    points: list[tuple[int, float]] = []
    for number, (time, value) in enumerate(checked.points):
        if time < 0 or (points and time <= points[-1][0]):
            raise WeightError(
                f"{where}: point {number} of the schedule is at {checked.by} {time}; the times of points ascend from 0."
            )
        points.append((time, checked_weight(value, f"{where}: the value of point {number} of the schedule")))
    if checked.schedule == "constant":
        if len(points) > 1:
            raise WeightError(f"{where}: a constant schedule has one point and not {len(points)}.")
        return Constant(points[0][1])
    return Schedule(checked.schedule, tuple(points), checked.by)


def _in_words(problem: Mapping[str, Any]) -> str:
    place = ".".join(map(str, problem["loc"]))
    messages = {
        "literal_error": f"has {place}={problem['input']!r}; valid are {problem.get('ctx', {}).get('expected')}",
        "missing": f"has no {place!r}",
        "extra_forbidden": f"has an entry {place!r}, which no schedule has (schedule, points, by)",
    }
    return messages.get(problem["type"], f"has {place}={problem['input']!r}: {problem['msg']}")

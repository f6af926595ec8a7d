"""The curves of a run, and how a reader collects them from the lines of a log.

A line holds what was logged at one step: the entries of headweights, e.g. `raw_loss/rpn_head.loss_rpn_cls/real`, and the
framework's own scalars of the training or the validation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from headweights.run_record.log_entries import Entry, parse_entry

# COCO's evaluation writes -1 where there are no objects of a kind (mAP_s without small objects).
_NO_OBJECTS = -1.0

Kind = Literal["training", "validation"]


@dataclass(frozen=True)
class Curve:
    """Values by step, in ascending order of steps. A value that was not finite is None."""

    steps: list[int]
    values: list[float | None]

    @property
    def finite(self) -> list[float]:
        """The finite values, in order."""
        return [value for value in self.values if value is not None]


@dataclass
class Log:
    """The curves of a run.

    Args:
        entries: The entries of headweights.
        training: The framework's scalars of the training by name: `loss`, the learning rate, the losses as the model logs them.
        metrics: Validation metrics by name. Their steps are training iterations, even if the framework counted epochs.
        notes: A sentence on everything that could not be read.
        epoch: The last epoch that was trained in, from 1 on. None if the log does not count epochs.
    """

    entries: dict[Entry, Curve] = field(default_factory=dict)
    training: dict[str, Curve] = field(default_factory=dict)
    metrics: dict[str, Curve] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    epoch: int | None = None

    @property
    def last_step(self) -> int:
        """The last step of any curve; 0 if there is no curve."""
        curves = (*self.entries.values(), *self.training.values(), *self.metrics.values())
        return max((curve.steps[-1] for curve in curves), default=0)


@dataclass
class Points:
    """The points of curves while a log is read.

    Args:
        values: The values by step, under an entry of headweights or the kind and the name of another scalar.
        not_finite: How many values were NaN or infinite.
    """

    values: dict[Entry | tuple[Kind, str], dict[int, float | None]] = field(default_factory=dict)
    not_finite: int = 0

    def add(self, line: Mapping[str, object], step: int, kind: Kind) -> None:
        """Adds the floats of a line. They replace those of an earlier line of the same step."""
        for name, value in line.items():
            if not isinstance(value, float):
                continue
            entry = parse_entry(name)
            finite = math.isfinite(value)
            self.not_finite += not finite
            absent = not finite or (kind == "validation" and entry is None and value == _NO_OBJECTS)
            self.values.setdefault(entry or (kind, name), {})[step] = None if absent else value

    def forget_from(self, first_step: int) -> None:
        """Removes the points of this step and of all later ones."""
        for points in self.values.values():
            for step in [step for step in points if step >= first_step]:
                del points[step]

    def update(self, later: Points) -> None:
        """Adds the points of another log. They replace those of the same step."""
        for key, points in later.values.items():
            self.values.setdefault(key, {}).update(points)

    def log(self, notes: list[str]) -> Log:
        """The curves. An entry without a finite value stays, as its data set is known; another scalar does not."""
        log = Log(notes=notes)
        for key, points in self.values.items():
            steps = sorted(points)
            curve = Curve(steps, [points[step] for step in steps])
            if isinstance(key, Entry):
                if steps:
                    log.entries[key] = curve
            elif curve.finite:
                kind, name = key
                (log.training if kind == "training" else log.metrics)[name] = curve
        return log


def gaps(not_finite: int) -> list[str]:
    """A note on values that were not finite, if there were any."""
    return [f"values that are NaN or infinite, each a gap in its curve: {not_finite}."] if not_finite else []

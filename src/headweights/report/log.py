"""Reads curves from a training log, mmengine's `scalars.json`, which has one JSON object on each line.

A line holds what was logged at one step: the entries of headweights, e.g. `raw_loss/rpn_head.loss_rpn_cls/real`, and mmengine's
own scalars of the training or the validation. The run may have been killed, may still be going on, or may not have used
headweights. The reader reads what it can, and notes what it cannot read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headweights.run_record.log_entries import Entry, parse_entry

SCALARS = "scalars.json"

# Values that are not worth a curve.
_CLOCKS = ("step", "iter", "epoch", "time", "data_time", "memory", "mode")
# Training lines have one of these; mmengine's validation lines have none.
_OF_TRAINING = ("loss", "lr", "iter")
# COCO's evaluation writes -1 where there are no objects of a kind (mAP_s without small objects).
_NO_OBJECTS = -1.0


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
        training: mmengine's scalars of the training by name: `loss`, `lr`, the losses as the model logs them.
        metrics: Validation metrics by name. Their steps are training iterations, even if mmengine counted epochs.
        notes: A sentence on everything that could not be read.
    """

    entries: dict[Entry, Curve] = field(default_factory=dict)
    training: dict[str, Curve] = field(default_factory=dict)
    metrics: dict[str, Curve] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def last_step(self) -> int:
        """The last step of any curve; 0 if there is no curve."""
        curves = (*self.entries.values(), *self.training.values(), *self.metrics.values())
        return max((curve.steps[-1] for curve in curves), default=0)


# A curve while it is being read: "training" or "validation", and an entry of headweights or the name of another scalar.
_Key = tuple[str, "Entry | str"]


@dataclass
class _Session:
    """What one process logged; a resumed run has several."""

    curves: dict[_Key, dict[int, float | None]] = field(default_factory=dict)
    first_training_step: int | None = None
    notes: list[str] = field(default_factory=list)


def read_log(folders: Sequence[Path]) -> Log:
    """Reads the log of a run.

    Args:
        folders: The folders of the run's sessions, in order. A session that resumes an earlier one replaces what the earlier one
            logged from the step on at which it resumed.
    """
    curves: dict[_Key, dict[int, float | None]] = {}
    notes: list[str] = []
    for folder in folders:
        session = _read_session(folder / SCALARS)
        notes += [f"{folder.parent.name}/{folder.name}/{SCALARS}: {note}" for note in session.notes]
        if session.first_training_step is not None:
            for points in curves.values():
                for step in [step for step in points if step >= session.first_training_step]:
                    del points[step]
        for key, points in session.curves.items():
            curves.setdefault(key, {}).update(points)
    log = Log(notes=notes)
    for (kind, name), points in curves.items():
        steps = sorted(points)
        curve = Curve(steps, [points[step] for step in steps])
        if isinstance(name, Entry) and steps:
            log.entries[name] = curve
        elif isinstance(name, str) and curve.finite:
            (log.training if kind == "training" else log.metrics)[name] = curve
    return log


def _read_session(path: Path) -> _Session:
    session = _Session()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        session.notes.append("not there, so this session has no curves.")
        return session
    except OSError as error:
        session.notes.append(f"could not be read ({error.strerror}).")
        return session
    unreadable, not_finite = 0, 0
    last_step, last_epoch = 0, None
    for number, text in enumerate(lines, start=1):
        line = _parsed(text)
        step = _whole(line.get("step", line.get("iter")))
        if step is None or step < 0:
            # The last line has no line end if it is cut off.
            if text.strip() and number == len(lines):
                session.notes.append("the last line is cut off and left out (the run was killed, or is still writing).")
            elif text.strip():
                unreadable += 1
            continue
        training = any(key in line for key in _OF_TRAINING) or any(map(parse_entry, line))
        if training:
            last_step, last_epoch = step, _whole(line.get("epoch"))
            session.first_training_step = min(step, session.first_training_step or step)
        elif step == last_epoch or step < last_step:
            # mmengine logs a validation by epoch, or at 0 in loops without epochs. It took place after the last training line.
            step = last_step
        not_finite += _add(session, line, step, "training" if training else "validation")
    if unreadable:
        session.notes.append(f"lines left out because they are not a JSON object with a step: {unreadable}.")
    if not_finite:
        session.notes.append(f"values that are NaN or infinite, each a gap in its curve: {not_finite}.")
    if not session.curves and not session.notes:
        session.notes.append("holds no values.")
    return session


def _add(session: _Session, line: dict[str, Any], step: int, kind: str) -> int:
    """Adds a line's values to a session. Returns how many of them were not finite."""
    not_finite = 0
    for name, value in line.items():
        if name in _CLOCKS or not isinstance(value, float):
            continue
        entry = parse_entry(name)
        finite = math.isfinite(value)
        not_finite += not finite
        absent = not finite or (kind == "validation" and entry is None and value == _NO_OBJECTS)
        session.curves.setdefault((kind, entry or name), {})[step] = None if absent else value
    return not_finite


def _parsed(text: str) -> dict[str, Any]:
    """Returns the JSON object in a line, with every number as a float; an empty one if there is none."""
    try:
        line = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return line if isinstance(line, dict) else {}


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, float) and value.is_integer() else None

"""Reads curves from a training log, mmengine's `scalars.json`, which has one JSON object on each line.

A line holds what was logged at one step: the entries of headweights, e.g. `raw_loss/rpn_head.loss_rpn_cls/real`, and mmengine's
own scalars of the training or the validation. The run may have been killed, may still be going on, or may not have used
headweights. The reader reads what it can, and notes what it cannot read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
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
            _forget_from(curves, session.first_training_step)
        for key, points in session.curves.items():
            curves.setdefault(key, {}).update(points)
    log = Log(notes=notes)
    for (kind, name), points in curves.items():
        steps = sorted(points)
        curve = Curve(steps, [points[step] for step in steps])
        if isinstance(name, Entry):
            log.entries[name] = curve
        elif curve.finite:
            (log.training if kind == "training" else log.metrics)[name] = curve
    return log


def _forget_from(curves: dict[_Key, dict[int, float | None]], first: int) -> None:
    for key in list(curves):
        curves[key] = {step: value for step, value in curves[key].items() if step < first}
        if not curves[key]:
            del curves[key]


def _read_session(path: Path) -> _Session:
    session = _Session()
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        session.notes.append("not there, so this session has no curves.")
        return session
    except OSError as error:
        session.notes.append(f"could not be read ({error.strerror}).")
        return session
    broken, damaged, cut_off, without_step, not_finite = 0, 0, False, 0, 0
    last_step, last_epoch = 0, None
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        text, damage = _decoded(raw)
        damaged += damage
        line = _parsed(text)
        if line is None:
            # The last line has no line end if it is cut off.
            cut_off, broken = (True, broken) if number == len(lines) else (cut_off, broken + 1)
            continue
        training = any(key in line for key in _OF_TRAINING) or any(parse_entry(key) for key in line)
        step = _step_of(line)
        if step is None:
            without_step += 1
            continue
        if training:
            last_step, last_epoch = step, _whole(line.get("epoch"))
            if session.first_training_step is None or step < session.first_training_step:
                session.first_training_step = step
        elif step == last_epoch or step < last_step:
            # mmengine logs a validation by epoch, or at 0 in loops without epochs. It took place after the last training line.
            step = last_step
        not_finite += _add(session, line, step, "training" if training else "validation")
    if cut_off:
        session.notes.append("the last line is cut off and left out (the run was killed, or is still writing).")
    for count, what in (
        (broken, "not a JSON object and left out"),
        (damaged, "not valid UTF-8; the damaged characters are replaced"),
        (without_step, "without a step and left out"),
    ):
        if count:
            session.notes.append(f"{count} {'line is' if count == 1 else 'lines are'} {what}.")
    if not_finite:
        session.notes.append(
            f"{not_finite} {'value is' if not_finite == 1 else 'values are'} NaN or infinite: a gap in the curve."
        )
    if not session.curves and not session.notes:
        session.notes.append("holds no values.")
    return session


def _add(session: _Session, line: dict[str, Any], step: int, kind: str) -> int:
    """Adds a line's values to a session. Returns how many of them were not finite."""
    not_finite = 0
    for name, value in line.items():
        number = _number(value)
        if name in _CLOCKS or number is None:
            continue
        entry = parse_entry(name)
        if not math.isfinite(number):
            not_finite += 1
        absent = not math.isfinite(number) or (kind == "validation" and entry is None and number == _NO_OBJECTS)
        session.curves.setdefault((kind, entry or name), {})[step] = None if absent else number
    return not_finite


def _decoded(raw: bytes) -> tuple[str, bool]:
    """Returns the text, and whether damaged characters had to be replaced."""
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        return raw.decode("utf-8", errors="replace"), True


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _number(value: object) -> float | None:
    """Returns a number as a float, and None for anything else. An integer too large for a float is infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _step_of(line: dict[str, Any]) -> int | None:
    return next((step for step in map(_whole, _values(line, "step", "iter")) if step is not None and step >= 0), None)


def _values(line: dict[str, Any], *keys: str) -> Iterable[object]:
    return (line[key] for key in keys if key in line)

"""Reads curves from mmengine's log, `scalars.json`, which has one JSON object on each line.

The run may have been killed, may still be going on, or may not have used headweights. The reader reads what it can, and notes
what it cannot read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headweights.report.runs.log import Log, Points, gaps
from headweights.run_record.log_entries import parse_entry

SCALARS = "scalars.json"

# Values that are not worth a curve.
_CLOCKS = ("step", "iter", "epoch", "time", "data_time", "memory", "mode")
# Training lines have one of these; mmengine's validation lines have none.
_OF_TRAINING = ("loss", "lr", "iter")


@dataclass
class _Session:
    """What one process logged; a resumed run has several."""

    points: Points = field(default_factory=Points)
    first_training_step: int | None = None
    last_epoch: int | None = None
    notes: list[str] = field(default_factory=list)


def read_log(folders: Sequence[Path]) -> Log:
    """Reads the log of a run.

    Args:
        folders: The folders of the run's sessions, in order. A session that resumes an earlier one replaces what the earlier one
            logged from the step on at which it resumed.
    """
    points = Points()
    notes: list[str] = []
    epoch = None
    for folder in folders:
        session = _read_session(folder / SCALARS)
        notes += [f"{folder.parent.name}/{folder.name}/{SCALARS}: {note}" for note in session.notes]
        if session.first_training_step is not None:
            points.forget_from(session.first_training_step)
            epoch = session.last_epoch
        points.update(session.points)
    return replace(points.log(notes), epoch=epoch)


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
    unreadable = 0
    last_step = 0
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
            last_step, session.last_epoch = step, _whole(line.get("epoch"))
            session.first_training_step = min(step, session.first_training_step or step)
        elif step == session.last_epoch or step < last_step:
            # mmengine logs a validation by epoch, or at 0 in loops without epochs. It took place after the last training line.
            step = last_step
        values = {name: value for name, value in line.items() if name not in _CLOCKS}
        session.points.add(values, step, "training" if training else "validation")
    if unreadable:
        session.notes.append(f"lines left out because they are not a JSON object with a step: {unreadable}.")
    session.notes += gaps(session.points.not_finite)
    if not session.points.values and not session.notes:
        session.notes.append("holds no values.")
    return session


def _parsed(text: str) -> dict[str, Any]:
    """Returns the JSON object in a line, with every number as a float; an empty one if there is none."""
    try:
        line = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return line if isinstance(line, dict) else {}


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, float) and value.is_integer() else None

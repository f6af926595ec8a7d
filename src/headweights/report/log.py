"""Reads a training log: mmengine's `scalars.json`, one JSON object a line, into curves.

A line is what was logged at one step. Ours are the entries named `<quantity>/<term>/<data set>`, e.g.
`raw_loss/rpn_head.loss_rpn_cls/real`; everything else is mmengine's own and is kept as training or validation scalars. A log may
be of a run that was killed, goes on, or never heard of headweights: what can be read is read, and a note says what could not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

SCALARS = "scalars.json"

RAW_LOSS, WEIGHTED_LOSS, WEIGHT = "raw_loss", "weighted_loss", "weight"
LOSS_SHARE, GRADIENT_SHARE, GRADIENT_COSINE = "loss_share", "gradient_share", "gradient_cosine"
QUANTITIES = (RAW_LOSS, WEIGHTED_LOSS, WEIGHT, LOSS_SHARE, GRADIENT_SHARE, GRADIENT_COSINE)

# Of a line, but no curve of interest.
_CLOCKS = ("step", "iter", "epoch", "time", "data_time", "memory", "mode")
# A line with one of these is of the training; mmengine's validation lines have none of them.
_OF_TRAINING = ("loss", "lr", "iter")
# COCO's evaluation writes -1 where there are no such objects (mAP_s without small ones).
_NO_OBJECTS = -1.0


class Entry(NamedTuple):
    """What a curve of ours is of: a quantity, a term (head path, or head path and loss) and a data set (or a pair of them)."""

    quantity: str
    term: str
    dataset: str


@dataclass(frozen=True)
class Curve:
    """Values by step, the steps ascending. A value that was not finite is None."""

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
        entries: Ours.
        training: mmengine's scalars of the training, by name: `loss`, `lr`, the losses as the model logs them.
        metrics: Validation metrics by name. Their steps are training iterations, also where mmengine counted epochs.
        notes: What could not be read, a sentence each.
    """

    entries: dict[Entry, Curve] = field(default_factory=dict)
    training: dict[str, Curve] = field(default_factory=dict)
    metrics: dict[str, Curve] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def last_step(self) -> int:
        """The last step of any curve, 0 where there is none."""
        curves = (*self.entries.values(), *self.training.values(), *self.metrics.values())
        return max((curve.steps[-1] for curve in curves), default=0)


def parse_entry(name: str) -> Entry | None:
    """The entry that a scalar's name spells, None for a scalar that is none of ours.

    Only the first two slashes split: a data set's name may hold slashes and spaces.
    """
    parts = name.split("/", 2)
    return Entry(*parts) if len(parts) == 3 and parts[0] in QUANTITIES and all(parts) else None


# A curve while it is read: of ours, of the training, of the validation.
_Key = tuple[str, "Entry | str"]


@dataclass
class _Session:
    """What one process logged; a resumed run has several."""

    curves: dict[_Key, dict[int, float | None]] = field(default_factory=dict)
    first_training_step: int | None = None
    notes: list[str] = field(default_factory=list)


def read_log(folders: Sequence[Path]) -> Log:
    """Reads the `scalars.json` of each folder, the sessions of one run in order.

    A later session continues the earlier one: what the earlier one logged at or after the later one's first training step was
    trained anew, and is replaced.
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
        session.notes.append("not there, so that this session has no curves.")
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
            # Only the last line has no line end, and only a cut one does not parse.
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
            # mmengine logs a validation by epoch, or by 0 where a loop counts none: it was after the training logged so far.
            step = last_step
        not_finite += _add(session, line, step, "training" if training else "validation")
    if cut_off:
        session.notes.append("the last line is cut off and left out (a run that was killed, or still writes).")
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
    """Adds a line's values to a session; returns how many of them were not finite."""
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
    """The text, and whether it had to be mended."""
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
    """The value as a float; None for what is no number. A whole number too large for a float is infinite."""
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

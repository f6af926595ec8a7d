"""Reads curves from the `log_history` of transformers' Trainer: a list of what was logged, with the step of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headweights.report.runs.log import Kind, Log, Points, gaps
from headweights.run_record.log_entries import parse_entry

# Values that are not worth a curve, by their names or by the ends of their names.
_CLOCKS = ("step", "epoch", "total_flos", "num_input_tokens_seen", "train_loss")
_CLOCK_ENDS = ("_runtime", "_per_second", "_time", "_alloc_delta", "_peaked_delta")
# The Trainer sorts its file by name. These metrics go first, in this order; the others follow by name.
_FIRST = ("map", "loss", "map_50", "map_75", "map_small", "map_medium", "map_large")


def read_log(history: Sequence[Any], heads: Sequence[str]) -> Log:
    """Reads the curves of a log.

    Args:
        history: The log.
        heads: The names of the losses in the order in which their entries are wanted.
    """
    points = Points()
    unreadable = 0
    # Backwards, so that the first value of a step stays: an evaluation after the training can be of an earlier checkpoint.
    for line in reversed(history):
        step = line.get("step") if isinstance(line, dict) else None
        if type(step) is int and step >= 0:
            points.add({name: _number(value) for name, value in line.items() if not _is_clock(name)}, step, _kind(line))
        else:
            unreadable += 1
    log = points.log(gaps(points.not_finite))
    if unreadable:
        log.notes.append(f"entries of log_history left out because they are not an object with a step: {unreadable}.")
    places = {head: place for place, head in enumerate(heads)}
    log.entries = dict(sorted(log.entries.items(), key=lambda item: places.get(item[0].term, len(places))))
    log.metrics = dict(sorted(log.metrics.items(), key=lambda item: _place(item[0])))
    return log


def _number(value: object) -> object:
    return float(value) if type(value) is int else value


def _kind(line: Mapping[str, Any]) -> Kind:
    """An evaluation logs its time as `<prefix>_runtime`; the training's is `train_runtime`. A user's has the usual prefix."""
    times = {name for name in line if name.endswith("_runtime") and _is_clock(name)}
    usual = any(name.startswith("eval_") for name in line)
    return "validation" if times - {"train_runtime"} or usual else "training"


def _is_clock(name: str) -> bool:
    # A data set can be called night_time.
    return name in _CLOCKS or (name.endswith(_CLOCK_ENDS) and parse_entry(name) is None)


def _place(metric: str) -> tuple[int, str]:
    return next((n for n, first in enumerate(_FIRST) if metric.endswith(f"_{first}")), len(_FIRST)), metric

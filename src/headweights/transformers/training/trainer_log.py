"""Puts measurements into the log of a ``Trainer``: ``trainer_state.json``, and TensorBoard, Weights & Biases and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from headweights.transformers.install import wrap


class LogsMeasurements(TrainerCallback):
    """A callback with measurements for the log."""

    def take_measurements(self) -> Mapping[str, float]:
        """Returns the measurements since the last call."""
        return {}


def log_measurements() -> None:
    """Makes every ``Trainer`` add the measurements of its callbacks to what it logs.

    No callback can do it: the reporting callbacks are called before it, and the history has been written.
    """
    wrap(Trainer, "log", _logging)


def _logging(log: Callable[..., None], trainer: Any, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
    log(trainer, logs, *args, **kwargs)
    if "loss" not in logs:  # an evaluation or the summary
        return
    callbacks = trainer.callback_handler.callbacks
    found: dict[str, float] = {}
    for callback in callbacks:
        if isinstance(callback, LogsMeasurements):
            found.update(callback.take_measurements())
    if not found:
        return
    trainer.state.log_history[-1].update(found)
    # Printers would fill the terminal.
    for callback in callbacks:
        if not isinstance(callback, (LogsMeasurements, PrinterCallback, ProgressCallback)) and not _is_for_notebooks(callback):
            callback.on_log(trainer.args, trainer.state, trainer.control, logs=dict(found), model=trainer.model)


def _is_for_notebooks(callback: Any) -> bool:
    return type(callback).__name__ == "NotebookProgressCallback"

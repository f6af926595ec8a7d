"""A worker in its own process. Heavy modules, and modules that print, are imported only after its output is redirected."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from pathlib import Path
from typing import Any, NoReturn


def run_worker(job: bytes, number: int, lock: Any, errors: Any, log: Path, environment: dict[str, str]) -> None:
    """Trains trials until the study has enough of them or the parent process is gone.

    SIGTERM interrupts it. It ignores Ctrl-C, since the parent process handles it.

    Args:
        job: A pickled :class:`headweights.tune.trials.worker.Job`.
        number: The number of the worker, from 0.
        lock: The lock that the workers of the command share.
        errors: A queue for error messages.
        log: The file for output outside of trials.
        environment: Environment variables for torch, which is not loaded yet.
    """
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupted)
    with (
        open(log, "w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
        contextlib.suppress(KeyboardInterrupt),
    ):
        import optuna

        from headweights.errors import WeightError
        from headweights.tune.studies.study import open_storage
        from headweights.tune.trials.worker import Worker, in_words

        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        parent = multiprocessing.parent_process()
        try:
            loaded = pickle.loads(job)
            Worker(loaded, open_storage(loaded.storage), number, lock, goes_on=lambda: parent is None or parent.is_alive()).work()
        except WeightError as error:
            errors.put(str(error))
        except Exception as error:  # from the storage
            errors.put(f"worker {number} stopped: {in_words(error)}")


def _interrupted(*_: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt

"""A worker as a process of its own. Nothing is imported here that prints, or takes long, before its output goes to a file."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from pathlib import Path
from typing import Any, NoReturn


def run_worker(job: bytes, number: int, lock: Any, said: Any, log: Path) -> None:
    """Trains trials until there are enough, or until its parent is gone. SIGTERM interrupts it; Ctrl-C is its parent's to hear.

    Args:
        job: A pickled :class:`headweights.tune.worker.Job`.
        number: Which worker of the command it is.
        lock: What the workers of the command share.
        said: A queue, for what is wrong.
        log: Where what it prints outside of its trials goes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupted)
    with (
        open(log, "w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
        contextlib.suppress(KeyboardInterrupt),
    ):
        _work(job, number, lock, said)


def _work(job: bytes, number: int, lock: Any, said: Any) -> None:
    import optuna

    from headweights.errors import WeightError
    from headweights.tune.storage import open_storage
    from headweights.tune.worker import Worker, in_words

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    parent = multiprocessing.parent_process()
    try:
        known = pickle.loads(job)
        Worker(known, open_storage(known.storage), number, lock, goes_on=lambda: parent is None or parent.is_alive()).work()
    except WeightError as error:
        said.put(str(error))
    except Exception as error:  # of the storage
        said.put(f"worker {number} stopped: {in_words(error)}")


def _interrupted(*_: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt

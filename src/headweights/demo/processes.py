"""Trainings in processes of their own, so that two run side by side, and their progress."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.progress import Progress, TaskID

from headweights.demo.job import Job, Step, Trained

# Iterations between lines of output, if there is no terminal to draw a bar in.
LINE_EVERY = 50
# In the folder of a run: what mmengine and COCO's evaluation would have printed.
SCREEN_LOG = "screen.log"


class TrainingError(RuntimeError):
    """A training failed. The message names it, its error and its log."""


@dataclass
class Training:
    """A process that trains when it is followed. Until then, it waits or is still loading mmdetection."""

    job: Job
    process: BaseProcess
    connection: Connection
    bars: dict[str, TaskID] = field(default_factory=dict)


@contextlib.contextmanager
def started(job: Job) -> Iterator[Training]:
    """Starts the process of a training. On leaving, the process is stopped if it has not finished."""
    job.work_dir.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    # All are forked from one process that has loaded mmdetection, which takes ten seconds, and started no threads.
    context.set_forkserver_preload(["headweights.demo.preloaded"])
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, job.work_dir / SCREEN_LOG), daemon=True)
    with _starting():
        process.start()
    theirs.close()
    try:
        yield Training(job, process, ours)
    finally:
        process.terminate()
        process.join()
        ours.close()


# More threads would gain little in such narrow detectors, and wait for each other beside other work.
# A process that is forked from one that asked CUDA whether there is a GPU cannot use it. mmengine asks when it is imported; with
# the second variable, torch asks NVML instead.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """What starts here has the environment above, and ignores Ctrl-C: this process stops it."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def follow(trainings: Sequence[Training], progress: Progress) -> list[Trained]:
    """Trains side by side, shows the progress, and returns the results in the same order.

    Raises:
        TrainingError: A training failed, or its process ended.
    """
    for one in trainings:
        with contextlib.suppress(BrokenPipeError):  # its process ended, which receiving will tell
            one.connection.send(one.job)
    finished: dict[str, Trained] = {}
    while len(finished) < len(trainings):
        running = {one.connection: one for one in trainings if one.job.name not in finished}
        for connection in wait(list(running)):
            one = running[connection]  # type: ignore[index]
            message = _received(one)
            if isinstance(message, Trained):
                finished[message.name] = message
            else:
                _show(one, message, progress)
    return [finished[one.job.name] for one in trainings]


def _received(one: Training) -> Step | Trained:
    try:
        message = one.connection.recv()
    except (EOFError, ConnectionResetError):
        message = "its process ended"
    if isinstance(message, str):
        raise TrainingError(f"the training {one.job.name!r} failed: {message}\n{one.job.work_dir / SCREEN_LOG} has its output")
    return message  # type: ignore[no-any-return]


def _show(one: Training, step: Step, progress: Progress) -> None:
    """Advances a bar. Without a terminal it prints a line now and then."""
    loss = "" if step.loss is None else f"loss {step.loss:.3f}"
    if step.phase not in one.bars:
        one.bars[step.phase] = progress.add_task(f"{one.job.name}: {step.phase}", total=step.total, loss=loss)
    progress.update(one.bars[step.phase], completed=step.done, loss=loss)
    if step.loss is not None and not progress.console.is_terminal and (step.done % LINE_EVERY == 0 or step.done == step.total):
        progress.console.print(f"{one.job.name}: iteration {step.done} of {step.total}, {loss}")


def _work(connection: Connection, screen: Path) -> None:
    """The process: waits for a job and trains it. Sends steps, and finally the result or an error message."""
    with (
        # By lines: the process is stopped as soon as it has told its error.
        open(screen, "w", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            from headweights.demo.training import train

            connection.send(train(connection.recv(), connection.send))
        except Exception as error:
            traceback.print_exc()
            with contextlib.suppress(OSError):  # nobody may be left to listen
                connection.send(f"{type(error).__name__}: {error}")

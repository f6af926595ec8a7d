"""Runs the arms in parallel, one process per run."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from mixtures.arms import Arm, Asked, Plan
from mixtures.run import SCREEN, Run, result_of, train


class RunError(Exception):
    """A run ended without a result. The message has its folder and the end of its output."""


class _Progress:
    """The state of an arm: the runs that it has requested, and which of them are started or finished."""

    def __init__(self, plan: Plan, out: Path) -> None:
        self.plan, self.out = plan, out
        self._steps: Arm = plan.steps()
        self.asked: Asked = next(self._steps)
        self.started: set[int] = set()
        self.finished = False

    def advance(self, reused: Callable[[Path], None]) -> None:
        """Sends results to the arm whenever all requested runs are finished."""
        while not self.finished:
            results = [result_of(run, self.out / place) for place, run in self.asked]
            for number, result in enumerate(results):
                if result is not None and number not in self.started:
                    self.started.add(number)
                    reused(self.out / self.asked[number][0])
            complete: list[Mapping[str, Any]] = [result for result in results if result is not None]
            if len(complete) < len(results):
                return
            try:
                self.asked, self.started = self._steps.send(complete), set()
            except StopIteration:
                self.finished = True

    def wanted(self) -> Sequence[tuple[int, Path, Run]]:
        """The runs that can be started now."""
        if self.finished:
            return []
        return [(n, self.out / place, run) for n, (place, run) in enumerate(self.asked) if n not in self.started]


def run_all(plans: Sequence[Plan], out: Path, workers: int, done: Callable[[Path, Mapping[str, Any] | None], None]) -> None:
    """Starts all runs without a result.

    Args:
        plans: The arms, in order of priority.
        out: The folder of the study.
        workers: The number of runs at a time.
        done: Called for each run with its folder and its result, or None if the result is from an earlier call.

    Raises:
        RunError: A run failed. Other current runs are stopped; the same call resumes.
    """
    context = multiprocessing.get_context("forkserver")
    # Every run is forked from one process that has loaded mmdetection and started no threads.
    context.set_forkserver_preload(["headweights.mmdet", "mixtures.run", "torch._dynamo"])
    arms = [_Progress(plan, out) for plan in plans]
    running: dict[ForkServerProcess, tuple[_Progress, Path, Run]] = {}
    try:
        while True:
            for arm in arms:
                arm.advance(lambda folder: done(folder, None))
            for arm in arms:
                for number, folder, run in arm.wanted():
                    # Two arms may request the same run: one starts it, the other one reads its result.
                    if len(running) < workers and folder not in [other for _, other, _ in running.values()]:
                        arm.started.add(number)
                        process = context.Process(target=train, args=(run, folder, out), daemon=True)
                        process.start()
                        running[process] = (arm, folder, run)
            if not running:
                return
            time.sleep(0.5)
            for process in [process for process in running if not process.is_alive()]:
                _, folder, run = running.pop(process)
                result = result_of(run, folder)
                if result is None:
                    raise RunError(f"{folder} ended without a result:\n{_end_of(folder / SCREEN)}")
                done(folder, result)
    finally:
        for process in running:
            process.terminate()


def _end_of(file: Path) -> str:
    try:
        return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    except OSError:
        return "(it printed nothing)"

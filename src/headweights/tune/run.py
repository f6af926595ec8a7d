"""The search from beginning to end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from rich.console import Console

from headweights.check.quiet import quiet
from headweights.errors import WeightError
from headweights.tune.plan import GREATER, Plan, make_plan
from headweights.tune.process import run_worker
from headweights.tune.progress import EVERY, TrialProgress, best_of
from headweights.tune.result import best_table, block_to_paste, metric_of, problems_with, said_of, write_charts, write_config
from headweights.tune.storage import default_storage, open_storage
from headweights.tune.study import REASON, Standing, begin, load, recover, standing
from headweights.tune.worker import Job, Worker, environment, visible_gpus

BEST_CONFIG, CHARTS = "best_weights.py", "tune.html"


def tune(
    console: Console,
    path: Path,
    *,
    target: str | None,
    heads: Sequence[str],
    trials: int,
    workers: int,
    low: float,
    high: float,
    metric: str | None,
    prune: bool,
    storage: str | None,
    study: str | None,
    work_dir: Path | None,
    keep_checkpoints: bool,
    seed: int,
    options: Sequence[str],
) -> None:
    """Searches the weights of a config and prints the best; the command's arguments, see there.

    Raises:
        WeightError: The config, or an argument, cannot be searched with; no trial succeeds.
        KeyboardInterrupt: It was stopped. The study can be gone on with.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    with console.status("reading the config, building its model and opening its data"), quiet():
        plan = make_plan(path, options=options, target=target, heads=heads, low=low, high=high, metric=metric, seed=seed)
    name = study or path.stem
    folder = (work_dir or Path("work_dirs") / "tune" / name).absolute()
    _make(folder)
    address = storage or default_storage(folder)
    opened = open_storage(address)
    before = begin(plan, opened, name, folder)
    recover(before)
    job = Job(plan, address, name, folder, trials, seed, prune, keep_checkpoints)
    for line in _opening(plan, job, standing(before), workers):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    with TrialProgress(console, load(opened, name, plan.rule), plan, trials) as progress:
        if workers == 1:
            _work_here(job, opened, progress)
        else:
            _work_in_processes(job, workers, progress, console)
    _close(console, plan, load(opened, name, plan.rule), folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightError(f"--work-dir {folder}: {error.strerror}.") from None


def _work_here(job: Job, storage: BaseStorage, progress: TrialProgress) -> None:
    over = threading.Event()

    def looking() -> None:
        while not over.wait(EVERY):
            progress.look()

    # A training may be long between two validations: somebody has to look who does not train.
    thread = threading.Thread(target=looking, daemon=True)
    thread.start()
    try:
        Worker(job, storage, 0, threading.Lock()).work()
    finally:
        over.set()
        thread.join()
        progress.look()


def _work_in_processes(job: Job, workers: int, progress: TrialProgress, console: Console) -> None:
    context: Any = multiprocessing.get_context("spawn")
    lock, said = context.Lock(), context.Queue()
    gpus, cores = visible_gpus(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = []
    try:
        for number in range(workers):
            log = job.work_dir / f"worker_{number}.log"
            process = context.Process(
                target=run_worker, args=(pickle.dumps(job), number, lock, said, log), name=f"worker {number}"
            )
            with environment(number, workers, gpus, cores):
                process.start()
            processes.append(process)
        lost: set[str] = set()
        while any(process.is_alive() for process in processes):
            progress.look()
            for process in processes:
                if process.exitcode not in (None, 0) and process.name not in lost:
                    lost.add(process.name)
                    console.print(f"{process.name} died ({_death(process.exitcode)}); its trial is tried again.", highlight=False)
            errors = _errors(said)
            if errors:
                raise WeightError("\n".join(errors))
            time.sleep(EVERY)
        progress.look()
        errors = _errors(said)
        if errors:
            raise WeightError("\n".join(errors))
        if len(lost) == workers:
            raise WeightError("all workers died; the same command goes on from here.")
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()  # they hear it as Ctrl-C, and put their trials back
        for process in processes:
            process.join(timeout=30)
            if process.is_alive():
                process.kill()


def _errors(said: Any) -> list[str]:
    errors: dict[str, None] = {}
    with contextlib.suppress(queue.Empty):
        while True:
            errors[said.get(timeout=0.05)] = None
    return list(errors)


def _death(code: int) -> str:
    return f"signal {-code}; out of memory?" if code < 0 else f"exit code {code}"


def _opening(plan: Plan, job: Job, now: Standing, workers: int) -> Iterator[str]:
    """What is going to be done."""
    space, count = plan.space, len(plan.space.parameters)
    yield (
        f"Searching {count} weight{'s' if count > 1 else ''}: of {', '.join(map(repr, space.datasets))} in "
        f"{', '.join(space.addresses)}, each {space.low:g} to {space.high:g} of what {space.target!r} weighs there."
    )
    times = "" if plan.validations is None else f", validated {plan.validations} time{'s' if plan.validations != 1 else ''}"
    by = plan.metric or "the first metric of which mmengine knows that more is better"
    better = "" if plan.metric is None else " (more is better)" if plan.rule == GREATER else " (less is better)"
    yield f"{job.trials} trainings{times}, compared by {by}{better}; {workers} at a time, in {job.work_dir}"
    yield from plan.notes
    if now.finished:
        yield f"Going on with study {job.study!r}: {len(now.finished)} of {job.trials} trials are over."


def _close(console: Console, plan: Plan, study: optuna.Study, folder: Path) -> None:
    now = standing(study)
    best: FrozenTrial | None = best_of(now.complete, plan.rule)
    if best is None:
        first = f" Trial {now.failed[0].number}: {now.failed[0].user_attrs[REASON]}" if now.failed else ""
        raise WeightError(f"no trial was trained to the end.{first}")
    metric = metric_of(plan, study)
    console.print(best_table(plan, now, metric))
    for line in said_of(plan, now, metric):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if now.running:
        numbers = ", ".join(str(trial.number) for trial in now.running)
        console.print(f"Still trained elsewhere, or its worker died there: trial {numbers}.", highlight=False)
    heading = f"headweights tune: the best of {len(now.finished)} trials, trial {best.number}: {metric} {best.value:.4g}."
    if plan.options:
        heading += f"\nThe search set {' '.join(plan.options)}; this config does not."
    write_config(plan, best.params, folder / BEST_CONFIG, heading)
    with quiet():
        problems = problems_with(folder / BEST_CONFIG)
        write_charts(study, now, metric, folder / CHARTS)
    for problem in problems:
        console.print(f"headweights check: {problem}", highlight=False, soft_wrap=True, markup=False)
    console.print("\nThe block to paste:\n")
    console.print(block_to_paste(plan, best.params), markup=False, highlight=False, soft_wrap=True)
    console.print(f"\n[bold]config[/] {folder / BEST_CONFIG}\n[bold]charts[/] {folder / CHARTS}", soft_wrap=True, highlight=False)

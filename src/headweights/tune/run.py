"""Runs the whole search."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from rich.console import Console

from headweights.check.quiet import quiet
from headweights.check.run import checked
from headweights.errors import WeightError
from headweights.search import Screening
from headweights.tune.planning.plan import GREATER, Plan, make_plan
from headweights.tune.result import TrialProgress, best_table, block_to_paste, conclusions, ranked, write_charts, write_config
from headweights.tune.studies.screening import FOUND, begin_screening, screened, screening_in_words
from headweights.tune.studies.study import METRIC, REASON, begin, load, open_storage, recover, status_of
from headweights.tune.trials.process import run_worker
from headweights.tune.trials.worker import Job, Worker, environment_of

# Seconds between updates of the progress from the storage.
INTERVAL = 1.0
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
    screening: bool,
    runs_more: bool,
    sampling: bool,
    fraction: float,
    metric: str | None,
    prune: bool,
    storage: str | None,
    study: str | None,
    work_dir: Path | None,
    keep_checkpoints: bool,
    seed: int,
    options: Sequence[str],
) -> None:
    """Searches the weights of a config and prints the best. The arguments are those of the command.

    Raises:
        WeightError: The search cannot use the config or an argument, or no trial succeeds.
        KeyboardInterrupt: It was stopped. The study can be resumed.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    with console.status("reading the config, building its model and opening its data"), quiet():
        plan = make_plan(
            path,
            options=options,
            target=target,
            heads=heads,
            low=low,
            high=high,
            screening=screening,
            sampling=sampling,
            fraction=fraction,
            metric=metric,
            seed=seed,
        )
    name = study or path.stem
    folder = (work_dir or Path("work_dirs") / "tune" / name).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightError(f"--work-dir {folder}: {error.strerror}.") from None
    address = storage or f"sqlite:///{folder / 'tune.db'}"
    opened = open_storage(address)
    begun = begin(plan, opened, name, folder)
    if plan.screening:
        begin_screening(plan, begun, runs_more)
    recover(begun)
    job = Job(plan, address, name, folder, trials, seed, prune, keep_checkpoints)
    for line in _opening(plan, job, begun, workers):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    progress = TrialProgress(console, load(opened, name, plan.rule), plan, trials)
    with progress.bar:
        if workers == 1:
            _work_here(job, opened, progress)
        else:
            _work_in_processes(job, workers, progress, console)
    _close(console, plan, load(opened, name, plan.rule), folder)


def _work_here(job: Job, storage: BaseStorage, progress: TrialProgress) -> None:
    done = threading.Event()

    def keep_updating() -> None:
        while not done.wait(INTERVAL):
            progress.update()

    # This thread is busy training, perhaps for long, so another one updates the progress.
    thread = threading.Thread(target=keep_updating, daemon=True)
    thread.start()
    try:
        Worker(job, storage, 0, threading.Lock()).work()
    finally:
        done.set()
        thread.join()
        progress.update()


def _work_in_processes(job: Job, workers: int, progress: TrialProgress, console: Console) -> None:
    context: Any = multiprocessing.get_context("spawn")
    lock, errors = context.Lock(), context.Queue()
    processes = []
    try:
        for number in range(workers):
            log = job.work_dir / f"worker_{number}.log"
            arguments = (pickle.dumps(job), number, lock, errors, log, environment_of(number, workers))
            process = context.Process(target=run_worker, args=arguments, name=f"worker {number}")
            process.start()
            processes.append(process)
        dead: set[str] = set()
        while any(process.is_alive() for process in processes):
            progress.update()
            for process in processes:
                if process.exitcode not in (None, 0) and process.name not in dead:
                    dead.add(process.name)
                    code = process.exitcode
                    cause = f"signal {-code}; out of memory?" if code < 0 else f"exit code {code}"
                    console.print(f"{process.name} died ({cause}); its trial is retried.", highlight=False)
            _raise_errors(errors)
            time.sleep(INTERVAL)
        progress.update()
        _raise_errors(errors)
        if len(dead) == workers:
            raise WeightError("all workers died; run the same command to resume.")
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()  # a worker handles SIGTERM like Ctrl-C and puts its trial back into the queue
        for process in processes:
            process.join(timeout=30)
            if process.is_alive():
                process.kill()


def _raise_errors(errors: Any) -> None:
    """Raises the errors that workers have put into the queue, each one once."""
    messages: dict[str, None] = {}
    with contextlib.suppress(queue.Empty):
        while True:
            messages[errors.get(timeout=0.05)] = None
    if messages:
        raise WeightError("\n".join(messages))


def _opening(plan: Plan, job: Job, study: optuna.Study, workers: int) -> Iterator[str]:
    """Sentences that say what the search will do."""
    space, count, status = plan.space, len(plan.space.weights), status_of(study)
    drawn = ", and how often an image of each is drawn" if space.sampled else ""
    yield (
        f"Searching {count} weight{'s' if count > 1 else ''} of {', '.join(map(repr, space.datasets))} in "
        f"{', '.join(space.addresses)}, relative to that of {space.target!r}{drawn}."
    )
    if plan.screening:
        runs = screened(plan, study).runs
        length = "" if plan.fraction == 1 else f", each {plan.fraction:g} as long as the config's"
        yield (
            f"First a screening: {runs} trainings{length}, with every weight at {space.low:g} or {space.high:g}. Then what it "
            f"finds, and with trials left, the weights that matter from {space.range[0]:.2g} to {space.range[1]:.2g}."
        )
    else:
        yield f"Every weight is searched from {space.range[0]:.2g} to {space.range[1]:.2g}."
    times = "" if plan.validations is None else f", validated {plan.validations} time{'s' if plan.validations != 1 else ''}"
    by = plan.metric or "the first metric that mmengine knows to be better when higher"
    better = "" if plan.metric is None else " (higher is better)" if plan.rule == GREATER else " (lower is better)"
    yield f"{job.trials} trainings{times}, compared by {by}{better}; {workers} at a time, in {job.work_dir}"
    yield from plan.notes
    if status.finished:
        yield f"Resuming study {job.study!r}: {len(status.finished)} of {job.trials} trials are finished."


def _close(console: Console, plan: Plan, study: optuna.Study, folder: Path) -> None:
    status = status_of(study)
    if not status.complete:
        first = f" Trial {status.failed[0].number}: {status.failed[0].user_attrs[REASON]}" if status.failed else ""
        raise WeightError(f"no training was completed.{first}")
    best = ranked(status.complete, plan.rule)[0]
    metric = str(plan.metric or study.user_attrs.get(METRIC) or "value")
    said = []
    effects = None
    if plan.screening:
        state = screened(plan, study)
        effects, said = state.effects, [*screening_in_words(plan, study, metric)]
        if effects is not None:
            table = Screening(effects, state.found[FOUND]).table()
            table.caption = None  # it is among the sentences
            console.print(table)
        for line in said:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(best_table(plan, status, metric))
    for line in conclusions(plan, status, metric):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if status.running:
        numbers = ", ".join(str(trial.number) for trial in status.running)
        console.print(f"Trial {numbers}: still running elsewhere, or its worker died there.", highlight=False)
    heading = f"headweights tune: the best of {len(status.finished)} trials, trial {best.number}: {metric} {best.value:.4g}."
    if plan.options:
        heading += f"\nThe search set {' '.join(plan.options)}; this config does not."
    write_config(plan, best.params, folder / BEST_CONFIG, heading)
    with quiet():
        problems = checked(folder / BEST_CONFIG).problems
        write_charts(study, status, metric, folder / CHARTS, effects, said)
    for problem in problems:
        console.print(f"headweights check: {problem.message}", highlight=False, soft_wrap=True, markup=False)
    console.print("\nThe block to paste:\n")
    console.print(block_to_paste(plan, best.params), markup=False, highlight=False, soft_wrap=True)
    console.print(f"\n[bold]config[/] {folder / BEST_CONFIG}\n[bold]charts[/] {folder / CHARTS}", soft_wrap=True, highlight=False)

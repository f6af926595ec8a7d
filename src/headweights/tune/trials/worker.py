"""A worker: runs one trial after the other until the study has enough of them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Lock as ProcessLock
from pathlib import Path

import optuna
import torch
from optuna.samplers import PartialFixedSampler
from optuna.storages import BaseStorage, GrpcStorageProxy
from optuna.trial import FrozenTrial, TrialState

from headweights.errors import WeightError
from headweights.mmdet.config import read_config
from headweights.tune.planning.plan import Plan
from headweights.tune.studies.screening import enqueue_found, is_screening, is_short, screened
from headweights.tune.studies.study import METRIC, REASON, WORKER, load, machine, pruner_of, recover, retry, sampler_of, status_of
from headweights.tune.trials.trial import SCREEN_LOG, NotFiniteError, ReportHook, SearchError, train, trial_config

# The search stops when this many trials have failed and none has succeeded.
MOST_FAILURES = 3
# Seconds between checks on the trials of other workers.
_PAUSE = 1.0


@dataclass(frozen=True)
class Job:
    """The settings that the workers of a command share.

    Args:
        plan: The search.
        storage: The address of the storage.
        study: The name of the study.
        work_dir: The folder with the trials' folders.
        trials: The number of trials to reach.
        seed: The seed of the sampler.
        prune: Whether bad trials are stopped early.
        keep_checkpoints: Whether to keep the checkpoints of all trials, not only of the best one.
    """

    plan: Plan
    storage: str
    study: str
    work_dir: Path
    trials: int
    seed: int = 0
    prune: bool = True
    keep_checkpoints: bool = False

    def folder(self, trial: int) -> Path:
        """The folder of a trial."""
        return self.work_dir / "trials" / str(trial)


class _NothingMattersError(Exception):
    """The screening says that no weight matters."""


class Worker:
    """Trains trials: first those in the queue, with the screening among them, then more of the weights that matter.

    Args:
        job: The settings.
        storage: The open storage.
        number: The number of the worker, from 0.
        lock: The lock that keeps two workers of the command from both taking the last trial.
        goes_on: Whether to start another trial. Default: always.
    """

    def __init__(
        self,
        job: Job,
        storage: BaseStorage,
        number: int,
        lock: threading.Lock | ProcessLock,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self.job = job
        self.lock = lock
        self.goes_on = goes_on
        self.config = read_config(job.plan.path, job.plan.options)
        self.study = load(storage, job.study, job.plan.rule, pruner=pruner_of(job.plan, job.trials, job.prune))
        self._search = self.study.sampler = sampler_of(job.seed, number, self.study, 0 if job.plan.screening else job.trials)
        self.storage = storage
        self._number: int | None = None
        self._search_error: SearchError | None = None
        self._lock_held = contextlib.ExitStack()  # releases the lock if this worker holds it

    def work(self) -> None:
        """Trains until the study has enough trials, or its screening says that no weight matters.

        Raises:
            WeightError: All trials fail.
            KeyboardInterrupt: It was interrupted. Its trial is back in the queue.
        """
        while self.goes_on():
            if self.lock.acquire(timeout=60):  # a worker that holds it longer is dead
                self._lock_held.callback(self.lock.release)
            try:
                recover(self.study)
                status = status_of(self.study)
                if len(status.finished) >= self.job.trials:
                    return
                is_free = len(status.finished) + len(status.running) < self.job.trials and self._can_go_on()
                if is_free:
                    self._run_trial()
                elif isinstance(self.storage, GrpcStorageProxy):
                    return  # behind a proxy, nobody notices if the other workers are dead, and waiting would never end
            except _NothingMattersError:
                return
            finally:
                self._lock_held.close()
            if is_free:
                self._after_trial()
            else:
                time.sleep(_PAUSE)

    def _can_go_on(self) -> bool:
        """Prepares the next trial. Returns whether there is one: the screening may be in training elsewhere."""
        if not self.job.plan.screening or self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            return True
        state = screened(self.job.plan, self.study)
        if state.effects is None:
            # Behind a proxy, nobody notices if the other workers are dead. Then all weights are searched.
            return state.is_finished or isinstance(self.storage, GrpcStorageProxy)
        if not enqueue_found(self.job.plan, self.study, state.found):
            if len(state.without_effect) == len(self.job.plan.space.parameters):
                raise _NothingMattersError
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental features of Optuna
                self.study.sampler = PartialFixedSampler(dict.fromkeys(state.without_effect, 1.0), self._search)
        return True

    def _run_trial(self) -> None:
        self._number = None
        try:
            self.study.optimize(self._objective, n_trials=1, catch=(Exception,), gc_after_trial=True)
        except KeyboardInterrupt:
            if trial := self._failed_trial():
                retry(self.study, trial)
            raise
        except Exception:
            # If the trial has failed already, another worker considered this one dead and retries the trial.
            if not self._failed_trial():
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _failed_trial(self) -> FrozenTrial | None:
        trial = None if self._number is None else self.study.get_trials()[self._number]
        return trial if trial and trial.state == TrialState.FAIL else None

    def _objective(self, trial: optuna.Trial) -> float:
        self._number = trial.number
        trial.set_user_attr(WORKER, f"{machine()}/{os.getpid()}")
        self._lock_held.close()
        plan, folder = self.job.plan, self.job.folder(trial.number)
        parameters = {name: trial.suggest_float(name, *plan.space.range, log=True) for name in plan.space.parameters}
        metric = plan.metric or self.study.user_attrs.get(METRIC)
        short = is_short(plan, trial)
        try:
            report = ReportHook(trial, metric, plan.rule, may_prune=not is_screening(plan, self.study, parameters))
            value = train(trial_config(plan, self.config, parameters, folder, short), report)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            if _was_interrupted(error):
                raise KeyboardInterrupt from None
            if isinstance(error, SearchError):
                self._search_error = error
            trial.set_user_attr(REASON, in_words(error))
            raise
        if metric is None and report.metric:
            self.study.set_user_attr(METRIC, report.metric)
        if short:
            # For Optuna, it was stopped early: it has a value, but is not compared with whole trainings.
            raise optuna.TrialPruned
        return value

    def _after_trial(self) -> None:
        """Removes checkpoints that are no longer needed, and raises an error if the search cannot succeed."""
        if self._search_error is not None:
            raise self._search_error
        status = status_of(self.study)
        if not self.job.keep_checkpoints:
            best = self.study.best_trial.number if status.complete else None
            for trial in status.finished:
                if trial.number != best:
                    _remove_checkpoints(self.job.folder(trial.number))
        if len(status.failed) >= MOST_FAILURES and len(status.failed) == len(status.finished):
            first = status.failed[0]
            raise WeightError(
                f"the first {len(status.failed)} trials failed. Trial {first.number}: {first.user_attrs[REASON]} "
                f"(full output: {self.job.folder(first.number) / SCREEN_LOG})"
            )


def environment_of(number: int, workers: int) -> dict[str, str]:
    """The environment variables of a worker's process: its share of the cores, and one of the GPUs that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    variables = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // workers))}
    if count := torch.cuda.device_count():
        gpu = number % count
        named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
        variables["CUDA_VISIBLE_DEVICES"] = named[gpu] if named else str(gpu)
    return variables


def _remove_checkpoints(folder: Path) -> None:
    for path in (*folder.rglob("*.pth"), folder / "last_checkpoint"):
        path.unlink(missing_ok=True)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused the error. mmengine turns it into a config error if it arrives while a config is written."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def in_words(error: Exception) -> str:
    """An error as one line, with its class unless it is one of the library's own."""
    message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, (WeightError, NotFiniteError)):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__

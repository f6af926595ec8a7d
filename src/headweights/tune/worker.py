"""A worker: one trial after the other, until the study has as many as it is to have."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import optuna
import torch
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from headweights.errors import WeightError
from headweights.mmdet.config import read_config
from headweights.tune.plan import Plan
from headweights.tune.storage import WORKER, notices_death, try_again
from headweights.tune.study import METRIC, REASON, here, load, pruner_of, recover, sampler_of, standing
from headweights.tune.trial import NotFiniteError, ReportHook, SearchError, train, trial_config

# So many trials fail, and none succeeds, before the search is given up.
HOPELESS = 3
# Seconds between looks at what others are doing.
_PAUSE = 1.0


class Lock(Protocol):
    """What keeps two workers from taking the last trial both."""

    def acquire(self, *, timeout: float) -> bool:
        """Waits for it."""

    def release(self) -> None:
        """Lets the next one have it."""


@dataclass(frozen=True)
class Job:
    """What a worker is to do.

    Args:
        plan: The search.
        storage: The address of the storage.
        study: The name of the study.
        work_dir: The folder that has the trials' folders.
        trials: How many trials the study is to have.
        seed: The seed of the sampler.
        prune: Whether bad trials are given up.
        keep_checkpoints: Whether the checkpoints of all trials stay, and not of the best only.
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
        """Where a trial is trained."""
        return self.work_dir / "trials" / str(trial)


class Worker:
    """Trains trials.

    Args:
        job: What to do.
        storage: The storage, open.
        number: Which worker of the command it is.
        lock: What the workers of the command share.
        after: Called after every trial and every validation.
        goes_on: Whether there is anybody left who wants another trial.
    """

    def __init__(
        self,
        job: Job,
        storage: BaseStorage,
        number: int,
        lock: Lock,
        after: Callable[[], None] = lambda: None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self.job = job
        self.lock = lock
        self.after = after
        self.goes_on = goes_on
        self.config = read_config(job.plan.path, job.plan.options)
        self.study = load(storage, job.study, job.plan.rule, pruner=pruner_of(job.plan, job.trials, job.prune))
        self.study.sampler = sampler_of(job.seed, number, self.study, job.trials)
        self.storage = storage
        self._number: int | None = None
        self._wrong: SearchError | None = None
        self._holds = False

    def work(self) -> None:
        """Trains until the study has its trials.

        Raises:
            WeightError: Something is wrong with every trial.
            KeyboardInterrupt: It was interrupted. The trial is in the queue again.
        """
        while self.goes_on():
            self._holds = self.lock.acquire(timeout=60)  # whoever holds it for longer is dead
            try:
                recover(self.study)
                now = standing(self.study)
                if len(now.finished) >= self.job.trials:
                    return
                is_free = len(now.finished) + len(now.running) < self.job.trials
                if is_free:
                    self._one()
                elif not notices_death(self.storage):
                    return  # those who train the rest may be dead for all it knows
            finally:
                self._release()
            if is_free:
                self._look()
            else:
                time.sleep(_PAUSE)

    def _one(self) -> None:
        self._number = None
        try:
            self.study.optimize(self._objective, n_trials=1, catch=(Exception,), gc_after_trial=True)
        except KeyboardInterrupt:
            trial = self._trial()
            if trial is not None and trial.state == TrialState.FAIL:
                try_again(self.study, trial)
            raise
        except Exception:
            trial = self._trial()
            # Where it has failed already, another worker took this one for dead, and has its trial.
            if trial is None or trial.state != TrialState.FAIL:
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _trial(self) -> FrozenTrial | None:
        return None if self._number is None else self.study.get_trials()[self._number]

    def _objective(self, trial: optuna.Trial) -> float:
        self._number = trial.number
        trial.set_user_attr(WORKER, _me())
        self._release()
        space, plan = self.job.plan.space, self.job.plan
        parameters = {name: trial.suggest_float(name, space.low, space.high, log=True) for name in space.parameters}
        known = plan.metric or self.study.user_attrs.get(METRIC)
        try:
            report = ReportHook(trial, known, plan.rule, self.after)
            value = train(trial_config(plan, self.config, parameters, self.job.folder(trial.number)), report)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            if _was_interrupted(error):
                raise KeyboardInterrupt from None
            if isinstance(error, SearchError):
                self._wrong = error
            trial.set_user_attr(REASON, in_words(error))
            raise
        if known is None and report.metric:
            self.study.set_user_attr(METRIC, report.metric)
        return value

    def _release(self) -> None:
        if self._holds:
            self._holds = False
            self.lock.release()

    def _look(self) -> None:
        """Shows the trial, makes room, and gives up where there is no hope."""
        self.after()
        if self._wrong is not None:
            raise self._wrong
        now = standing(self.study)
        if not self.job.keep_checkpoints:
            best = self.study.best_trial.number if now.complete else None
            for trial in now.finished:
                if trial.number != best:
                    _remove_checkpoints(self.job.folder(trial.number))
        if len(now.failed) >= HOPELESS and len(now.failed) == len(now.finished):
            first = now.failed[0]
            raise WeightError(
                f"the first {len(now.failed)} trials failed. Trial {first.number}: {first.user_attrs[REASON]} "
                f"(all of it: {self.job.folder(first.number) / 'screen.log'})"
            )


@contextlib.contextmanager
def environment(number: int, workers: int, gpus: list[str], cores: int) -> Iterator[None]:
    """What a worker's process is started in: its share of the cores, and a GPU of its own as long as there are enough."""
    set_here = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(1, cores // workers))}
    if gpus:
        set_here["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    before = {name: os.environ.get(name) for name in set_here}
    os.environ.update(set_here)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


def _remove_checkpoints(folder: Path) -> None:
    for path in (*folder.rglob("*.pth"), folder / "last_checkpoint"):
        path.unlink(missing_ok=True)


def _me() -> str:
    return f"{here()}/{os.getpid()}"


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an error is Ctrl-C in other words: mmengine takes it for a mistake in a config while it writes one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def in_words(error: Exception) -> str:
    """An error as one line; its class too where it is none that was meant to be read."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, (WeightError, NotFiniteError)):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__

"""What is shown while trials are trained: a line for each that is over, and a bar."""

from __future__ import annotations

import threading
from types import TracebackType

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headweights.tune.plan import GREATER, Plan
from headweights.tune.space import rounded
from headweights.tune.study import KIND, REASON, standing

# Seconds between looks at the storage.
EVERY = 1.0


class TrialProgress:
    """Prints every trial that gets finished, whoever trains it, and shows which are running.

    Args:
        console: Where to print.
        study: The study. It is read in a thread, so that a long training is seen to go on.
        plan: The search.
        trials: How many trials the study is to have.
    """

    def __init__(self, console: Console, study: optuna.Study, plan: Plan, trials: int) -> None:
        self.console = console
        self.study = study
        self.plan = plan
        self._seen = {trial.number for trial in standing(study).finished}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[running]}"),
            console=console,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("trials", total=trials, completed=len(self._seen), running="")
        self._looking = threading.Lock()

    def __enter__(self) -> TrialProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def look(self) -> None:
        """Brings what is shown up to date."""
        with self._looking:
            now = standing(self.study)
            for trial in now.finished:
                if trial.number not in self._seen:
                    self._seen.add(trial.number)
                    self.console.print(self._line(trial, now.complete), highlight=False, soft_wrap=True)
            running = ", ".join(map(self._running, now.running))
            self._bar.update(self._task, completed=len(now.finished), running=running and f"training {running}")

    def _running(self, trial: FrozenTrial) -> str:
        if trial.last_step is None:
            return f"{trial.number}"
        return f"{trial.number} ({trial.intermediate_values[trial.last_step]:.4g} at validation {trial.last_step})"

    def _line(self, trial: FrozenTrial, complete: list[FrozenTrial]) -> str:
        if trial.state == TrialState.COMPLETE:
            came = f"[bold]{trial.value:.4g}[/]"
        elif trial.state == TrialState.PRUNED:
            came = f"given up after validation {trial.last_step} of {self.plan.validations or '?'}: {pruned_at(trial):.4g}"
        else:
            came = f"[red]failed[/]: {escape(str(trial.user_attrs[REASON]))}"
        kind = trial.user_attrs.get(KIND)
        weights = escape(f"({kind})" if kind else described(trial))
        took = f"{trial.duration.total_seconds():.0f} s" if trial.duration else ""
        upto = [other for other in complete if other.number <= trial.number or other == trial]
        best = best_of(upto or complete, self.plan.rule)
        so_far = f", best so far {best.value:.4g} (trial {best.number})" if best is not None and best != trial else ""
        return f"trial {trial.number}: {came}  {weights}  {took}{so_far}"


def best_of(complete: list[FrozenTrial], rule: str) -> FrozenTrial | None:
    """The best of trials that were trained to the end, the first of several."""
    if not complete:
        return None
    return (max if rule == GREATER else min)(complete, key=lambda trial: trial.value or 0.0)


def described(trial: FrozenTrial) -> str:
    """The parameters of a trial in words."""
    by_dataset: dict[str, list[str]] = {}
    for name, value in trial.params.items():
        dataset, _, address = name.rpartition(": ")
        by_dataset.setdefault(dataset, []).append(f"{address} {rounded(value):g}")
    return "; ".join(f"{dataset}: {', '.join(weights)}" for dataset, weights in by_dataset.items())


def pruned_at(trial: FrozenTrial) -> float:
    """What the last validation of a trial said that was given up."""
    return trial.intermediate_values[trial.last_step] if trial.last_step is not None else float("nan")

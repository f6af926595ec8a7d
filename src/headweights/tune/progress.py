"""Shows the progress of a search: a line for each finished trial, and a bar."""

from __future__ import annotations

import threading

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headweights.tune.plan import GREATER, Plan
from headweights.tune.space import rounded
from headweights.tune.study import KIND, REASON, status_of

# Seconds between updates from the storage.
INTERVAL = 1.0


class TrialProgress:
    """Prints every finished trial of the study, from any worker, and shows the running ones.

    Args:
        console: Where to print.
        study: The study.
        plan: The search.
        trials: The number of trials to reach.

    Attributes:
        bar: The bar; it is shown while it is entered.
    """

    def __init__(self, console: Console, study: optuna.Study, plan: Plan, trials: int) -> None:
        self.console = console
        self.study = study
        self.plan = plan
        self._printed = {trial.number for trial in status_of(study).finished}
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[running]}"),
            console=console,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self.bar.add_task("trials", total=trials, completed=len(self._printed), running="")
        self._updating = threading.Lock()

    def update(self) -> None:
        """Reads the study and updates the output. Safe to call from several threads."""
        with self._updating:
            status = status_of(self.study)
            for trial in status.finished:
                if trial.number not in self._printed:
                    self._printed.add(trial.number)
                    self.console.print(self._line(trial, status.complete), highlight=False, soft_wrap=True)
            running = ", ".join(map(self._running, status.running))
            self.bar.update(self._task, completed=len(status.finished), running=running and f"training {running}")

    def _running(self, trial: FrozenTrial) -> str:
        if trial.last_step is None:
            return f"{trial.number}"
        return f"{trial.number} ({trial.intermediate_values[trial.last_step]:.4g} at validation {trial.last_step})"

    def _line(self, trial: FrozenTrial, complete: list[FrozenTrial]) -> str:
        if trial.state == TrialState.COMPLETE:
            outcome = f"[bold]{trial.value:.4g}[/]"
        elif trial.state == TrialState.PRUNED:  # Optuna makes the last reported value the value of a pruned trial
            outcome = f"pruned after validation {trial.last_step} of {self.plan.validations or '?'}: {trial.value:.4g}"
        else:
            outcome = f"[red]failed[/]: {escape(str(trial.user_attrs[REASON]))}"
        kind = trial.user_attrs.get(KIND)
        weights = escape(f"({kind})" if kind else weights_in_words(trial))
        duration = f"{trial.duration.total_seconds():.0f} s" if trial.duration else ""
        best = best_of([other for other in complete if other.number <= trial.number] or complete, self.plan.rule)
        so_far = f", best so far {best.value:.4g} (trial {best.number})" if best is not None and best != trial else ""
        return f"trial {trial.number}: {outcome}  {weights}  {duration}{so_far}"


def best_of(complete: list[FrozenTrial], rule: str) -> FrozenTrial | None:
    """The best of the complete trials, the first one if several are equal; None if there is none."""
    if not complete:
        return None
    return (max if rule == GREATER else min)(complete, key=lambda trial: trial.value or 0.0)


def weights_in_words(trial: FrozenTrial) -> str:
    """The weights of a trial, such as ``'rendered: rpn_head 0.5, roi_head 0.1'``."""
    by_dataset: dict[str, list[str]] = {}
    for name, value in trial.params.items():
        dataset, _, address = name.rpartition(": ")
        by_dataset.setdefault(dataset, []).append(f"{address} {rounded(value):g}")
    return "; ".join(f"{dataset}: {', '.join(weights)}" for dataset, weights in by_dataset.items())

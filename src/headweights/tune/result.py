"""What a search shows: its progress, the best trials, the block to paste, a config to train and a page of charts."""

from __future__ import annotations

import ast
import html
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from mmengine.config import Config
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from headweights.check.fix import as_config
from headweights.mmdet.config import is_weight_hook, read_config, weight_hooks, with_import
from headweights.report.effects import effects_figure
from headweights.search import Effects
from headweights.tune.planning.plan import GREATER, Plan, validation_is_test
from headweights.tune.planning.space import rounded
from headweights.tune.studies.screening import FOUND, LEVELS, is_short
from headweights.tune.studies.study import KIND, OWN, REASON, UNWEIGHTED, StudyStatus, status_of

# What the best trial is compared with, by kind.
BASELINES = {UNWEIGHTED: "the unweighted detector", OWN: "the config's own weights"}
# How many of the best trials the table has.
_MOST_ROWS = 5


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
        elif is_short(self.plan, trial):
            outcome = f"{trial.value:.4g}, of {self.plan.fraction:g} of the length"
        elif trial.state == TrialState.PRUNED:  # Optuna makes the last reported value the value of a pruned trial
            outcome = f"pruned after validation {trial.last_step} of {self.plan.validations or '?'}: {trial.value:.4g}"
        else:
            outcome = f"[red]failed[/]: {escape(str(trial.user_attrs[REASON]))}"
        kind = trial.user_attrs.get(KIND)
        weights = escape(f"({kind})" if kind in BASELINES else weights_in_words(trial))
        duration = f"{trial.duration.total_seconds():.0f} s" if trial.duration else ""
        earlier = [other for other in complete if other.number <= trial.number] or complete
        best = next(iter(ranked(earlier, self.plan.rule)), trial)
        so_far = "" if best == trial else f", best so far {best.value:.4g} (trial {best.number})"
        return f"trial {trial.number}: {outcome}  {weights}  {duration}{so_far}"


def ranked(complete: list[FrozenTrial], rule: str) -> list[FrozenTrial]:
    """The complete trials, the best first; of equal ones the earliest first."""
    return sorted(complete, key=lambda trial: trial.value or 0.0, reverse=rule == GREATER)


def weights_in_words(trial: FrozenTrial) -> str:
    """The weights of a trial, such as ``'rendered: rpn_head 0.5, roi_head 0.1'``."""
    by_dataset: dict[str, list[str]] = {}
    for name, value in trial.params.items():
        dataset, _, address = name.rpartition(": ")
        by_dataset.setdefault(dataset, []).append(f"{address} {rounded(value):g}")
    return "; ".join(f"{dataset}: {', '.join(weights)}" for dataset, weights in by_dataset.items())


def best_table(plan: Plan, status: StudyStatus, metric: str) -> Table:
    """A table of the best trials, the unweighted detector and the config's own weights."""
    table = Table(title=f"The best of {len(status.finished)} trials")
    for heading in ("trial", metric, *(name.replace(": ", "\n") for name in plan.space.parameters), ""):
        table.add_column(heading, justify="left" if not heading else "right")
    for place, trial in enumerate(ranked(status.complete, plan.rule)):
        kind = str(trial.user_attrs.get(KIND, ""))
        if place < _MOST_ROWS or kind in (*BASELINES, FOUND, LEVELS):
            weights = [f"{rounded(trial.params[name]):g}" for name in plan.space.parameters]
            table.add_row(str(trial.number), f"{trial.value:.4g}", *weights, kind, style="bold" if place == 0 else "")
    return table


def conclusions(plan: Plan, status: StudyStatus, metric: str) -> Iterator[str]:
    """Sentences that compare the best trial with the baselines, and say how far to trust the comparison."""
    best = ranked(status.complete, plan.rule)[0]
    assert best.value is not None
    for kind, name in BASELINES.items():
        other = next((trial for trial in status.complete if trial.user_attrs.get(KIND) == kind), None)
        if other is None or other.value is None:
            if kind == UNWEIGHTED or plan.own is not None:
                yield f"There is no comparison with {name}: that trial did not finish."
        elif other.number == best.number:
            yield f"No trial beat {name}, {metric} {best.value:.4g}."
        else:
            yield f"The best {metric}, {best.value:.4g}, is {best.value - other.value:+.4g} from {name}, {other.value:.4g}."
    if len(status.complete) > 1 and len({trial.value for trial in status.complete}) == 1:
        yield "All trainings have the same result: they are too short, or the validation set is too small, to compare weights."
    yield (
        f"This is the best of {len(status.finished)} trials, each trained once, on the data that selected it. Expect less on "
        "other data. Train it and the unweighted detector with several seeds, and compare them on a test split that the search "
        "has not seen."
    )
    if validation_is_test(read_config(plan.path, plan.options)):
        yield "The config has no separate test split: its test reads the annotations of the validation."
    if not plan.screening and len(status.complete) < 2 * len(plan.space.parameters):
        yield (f"{len(status.complete)} complete trainings are few for {len(plan.space.parameters)} weights; raise --trials.")


def block_to_paste(plan: Plan, parameters: Mapping[str, float]) -> str:
    """The ``custom_hooks`` of the user's config with these weights, and its sampler if they set it, as config text."""
    config = read_config(plan.path)
    hooks = _custom_hooks(config, plan, parameters)
    number, ours = next((number, hook) for number, hook in enumerate(hooks) if is_weight_hook(hook))
    arguments = {name: value for name, value in ours.items() if name not in ("type", "weights")}
    first, *lines = as_config(ours["weights"], arguments, (), ()).splitlines()
    before, after = ([f"    {hook!r}," for hook in part] for part in (hooks[:number], hooks[number + 1 :]))
    sampler = plan.sampler(config, parameters)
    drawn = [f"train_dataloader = dict(sampler={ {'_delete_': True, **sampler}!r})"] if sampler else []
    return "\n".join([first, *before, *lines[:-1], *after, lines[-1], *drawn])


def write_config(plan: Plan, parameters: Mapping[str, float], path: Path, heading: str) -> None:
    """Writes the user's config with these weights, without the ``--cfg-options`` of the search.

    It inherits from the user's config if that reproduces the hooks and imports. Otherwise it is a full dump.
    """
    config = read_config(plan.path)
    config.custom_hooks = _custom_hooks(config, plan, parameters)
    config.custom_imports = with_import(config)
    sampler = plan.sampler(config, parameters)
    if sampler:
        config.train_dataloader.sampler = sampler
    wanted = (config.custom_hooks, config.custom_imports, config.train_dataloader)
    base = (
        plan.path if os.path.splitdrive(plan.path)[0] != os.path.splitdrive(path)[0] else os.path.relpath(plan.path, path.parent)
    )
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    path.write_text(
        f"{comment}_base_ = [{Path(base).as_posix()!r}]\n\ncustom_imports = {with_import(config)!r}\n\n"
        f"{block_to_paste(plan, parameters)}\n",
        encoding="utf-8",
    )
    try:
        ast.parse(path.read_text(encoding="utf-8"))
        reread = Config.fromfile(path)
        if (reread.custom_hooks, reread.custom_imports, reread.train_dataloader) == wanted:
            return
    except Exception:  # a config in the pure Python style, or a hook without a text form
        pass
    path.write_text(f"{comment}{config.pretty_text}", encoding="utf-8")


def write_charts(
    study: optuna.Study, status: StudyStatus, metric: str, path: Path, effects: Effects | None, said: Sequence[str]
) -> None:
    """Writes what the screening says, with its picture, and Optuna's charts of a study as one self-contained HTML file.

    Args:
        study: The study.
        status: Its status.
        metric: The name of the metric.
        path: The file.
        effects: The effects of the screening; None if there are none yet.
        said: What the screening says, in sentences.
    """
    from optuna import visualization as charts

    figures = [] if effects is None else [effects_figure(effects, metric)]
    figures.append(charts.plot_optimization_history(study, target_name=metric))
    if len(status.complete) > 1:
        figures += [charts.plot_parallel_coordinate(study, target_name=metric), charts.plot_slice(study, target_name=metric)]
    if any(trial.intermediate_values for trial in status.finished):
        figures.append(charts.plot_intermediate_values(study))
    parts = [figure.to_html(full_html=False, include_plotlyjs=number == 0) for number, figure in enumerate(figures)]
    page = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in said) + "".join(f"<div>{part}</div>" for part in parts)
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>headweights tune</title>'
        "<style>body { font: 1rem system-ui, sans-serif; max-width: 70rem; margin: 2rem auto }</style>"
        f"<body>{page}</body></html>",
        encoding="utf-8",
    )


def _custom_hooks(config: Any, plan: Plan, parameters: Mapping[str, float]) -> list[Any]:
    """A config's hooks with these weights, as plain dicts."""
    hook = {**plan.hook, "weights": plan.block(parameters)}
    hooks: list[Any] = Config(dict(custom_hooks=weight_hooks(config, hook))).to_dict()["custom_hooks"]
    return hooks

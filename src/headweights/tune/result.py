"""What came of a search: the best trials, the block to paste, a config to train, a page of charts."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from mmengine.config import Config
from rich.table import Table

from headweights.check.fix import as_config
from headweights.check.run import checked
from headweights.mmdet.config import is_weight_hook, read_config, weight_hooks, with_import
from headweights.tune.plan import GREATER, Plan, validation_is_test
from headweights.tune.progress import best_of
from headweights.tune.space import rounded
from headweights.tune.study import KIND, METRIC, OWN, UNWEIGHTED, Standing

# As many of the best trials are shown.
_SHOWN = 5


def best_table(plan: Plan, now: Standing, metric: str) -> Table:
    """The best trials, the unweighted detector and the config's own weights."""
    ranked = sorted(now.complete, key=lambda trial: trial.value or 0.0, reverse=plan.rule == GREATER)
    table = Table(title=f"The best of {len(now.finished)} trials")
    for heading in ("trial", metric, *(name.replace(": ", "\n") for name in plan.space.parameters), ""):
        table.add_column(heading, justify="left" if not heading else "right")
    for place, trial in enumerate(ranked):
        kind = str(trial.user_attrs.get(KIND, ""))
        if place < _SHOWN or kind:
            weights = [f"{rounded(trial.params[name]):g}" for name in plan.space.parameters]
            table.add_row(str(trial.number), f"{trial.value:.4g}", *weights, kind, style="bold" if place == 0 else "")
    return table


def said_of(plan: Plan, now: Standing, metric: str) -> Iterator[str]:
    """What the best trial gains, and what that is worth."""
    best = best_of(now.complete, plan.rule)
    assert best is not None and best.value is not None
    for kind, called in ((UNWEIGHTED, "the unweighted detector"), (OWN, "the config's own weights")):
        other = next((trial for trial in now.complete if trial.user_attrs.get(KIND) == kind), None)
        if other is None or other.value is None:
            if kind == UNWEIGHTED or plan.own is not None:
                yield f"There is no comparison with {called}: that trial did not finish."
        elif other.number == best.number:
            yield f"Nothing did better than {called}, {metric} {best.value:.4g}."
        else:
            yield f"{metric} {best.value:.4g} is {best.value - other.value:+.4g} to {called}, {other.value:.4g}."
    if len(now.complete) > 1 and len({trial.value for trial in now.complete}) == 1:
        yield "All trainings came out alike: they are too short, or the validation too small, to tell weights apart."
    yield (
        f"It is the best of {len(now.finished)} trials on the very data that chose it, each trained once: expect less. Train it "
        "and the unweighted detector with several seeds, and compare them on a test split that the search has not seen."
    )
    if validation_is_test(read_config(plan.path, plan.options)):
        yield "The config's test split is none: it reads the same annotations as the validation."
    if len(now.complete) < 2 * len(plan.space.parameters):
        yield f"{len(now.complete)} finished trainings are few for {len(plan.space.parameters)} weights; --trials takes more."


def block_to_paste(plan: Plan, parameters: Mapping[str, float]) -> str:
    """The ``custom_hooks`` of the user's config with these weights, as its lines."""
    hooks = _custom_hooks(read_config(plan.path), plan, parameters)
    number, ours = next((number, hook) for number, hook in enumerate(hooks) if is_weight_hook(hook))
    arguments = {name: value for name, value in ours.items() if name not in ("type", "weights")}
    first, *lines = as_config(ours["weights"], arguments, (), ()).splitlines()
    before, after = ([f"    {hook!r}," for hook in part] for part in (hooks[:number], hooks[number + 1 :]))
    return "\n".join([first, *before, *lines[:-1], *after, lines[-1]])


def write_config(plan: Plan, parameters: Mapping[str, float], path: Path, heading: str) -> None:
    """Writes a config that is the user's with these weights: it inherits from it where it can, else it is all of it.

    What ``--cfg-options`` set for the search is not in it.
    """
    config = read_config(plan.path)
    config.custom_hooks = _custom_hooks(config, plan, parameters)
    config.custom_imports = with_import(config)
    wanted = (config.custom_hooks, config.custom_imports)
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
        again = Config.fromfile(path)
        if (again.custom_hooks, again.custom_imports) == wanted:
            return
    except Exception:  # a config in Python's own import syntax, a hook that cannot be written as text
        pass
    path.write_text(f"{comment}{config.pretty_text}", encoding="utf-8")


def problems_with(path: Path) -> list[str]:
    """What ``headweights check`` says of a config."""
    return [problem.message for problem in checked(path).problems]


def write_charts(study: optuna.Study, now: Standing, metric: str, path: Path) -> None:
    """Writes Optuna's charts of a study as one HTML file that needs nothing else."""
    from optuna import visualization as charts

    figures = [charts.plot_optimization_history(study, target_name=metric)]
    if len(now.complete) > 1:
        figures += [charts.plot_parallel_coordinate(study, target_name=metric), charts.plot_slice(study, target_name=metric)]
    if any(trial.intermediate_values for trial in now.finished):
        figures.append(charts.plot_intermediate_values(study))
    parts = [figure.to_html(full_html=False, include_plotlyjs=number == 0) for number, figure in enumerate(figures)]
    page = "".join(f"<div>{part}</div>" for part in parts)
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>headweights tune</title><body>{page}</body></html>',
        encoding="utf-8",
    )


def metric_of(plan: Plan, study: optuna.Study) -> str:
    """What the trials are compared by."""
    return str(plan.metric or study.user_attrs.get(METRIC) or "value")


def _custom_hooks(config: Any, plan: Plan, parameters: Mapping[str, float]) -> list[Any]:
    """A config's hooks with these weights, as plain tables."""
    hook = {**plan.hook, "weights": plan.block(parameters)}
    hooks: list[Any] = Config(dict(custom_hooks=weight_hooks(config, hook))).to_dict()["custom_hooks"]
    return hooks

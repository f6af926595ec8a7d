"""Makes the tables of docs/unlabelled.md from the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mixtures.page import cost, row, signed
from mixtures.settings import DETECTORS, UNLABELLED
from mixtures.statistics import Difference, Outcome, difference
from mixtures.unlabelled import LENGTHS, Problem, plans, problems

# The outcomes of a length, by the folder of their arm.
Found = Mapping[PurePath, Outcome]
METRICS = {"mAP": "mAP", "recall": "recall at 0.3", "best_F1": "best F1"}
_SHOWN = {"mAP": "mAP", "AP50": "AP50", "recall": "recall at 0.3", "precision": "precision at 0.3", "best_F1": "best F1"}
_LEAST = 2  # Seeds for a difference with an interval.


def by_length(rows: Sequence[Mapping[str, Any]]) -> dict[str, Found]:
    """The outcomes by length, with the seeds that all arms of this length have.

    Args:
        rows: The contents of each result.json, with the folder of its arm as `arm`.

    Returns:
        The outcomes by the folder of their arm. A length without common seeds is left out.
    """
    results: dict[PurePath, dict[int, Mapping[str, Any]]] = {}
    for found in rows:
        results.setdefault(PurePath(found["arm"]), {})[found["run"]["seed"]] = found
    made = {}
    for length in LENGTHS:
        arms = {plan.folder: plan for plan in plans(length, [])}
        seeds = set.intersection(*(set(results.get(folder, {})) for folder in arms))
        if len(seeds) >= _LEAST:
            made[length] = {
                folder: Outcome(plan, {seed: results[folder][seed] for seed in sorted(seeds)}, ())
                for folder, plan in arms.items()
            }
    return made


def parts(found: Mapping[str, Found]) -> dict[str, str]:
    """The generated parts of the page, in Markdown, by name."""
    everything = [outcome for outcomes in found.values() for outcome in outcomes.values()]
    made = {"summary": _summary(found), "cost": cost(everything)}
    for setting in UNLABELLED:
        for length in LENGTHS:
            tables = [_table(found[length], setting, detector, length) for detector in DETECTORS] if length in found else []
            made[f"{setting}_{length}"] = "\n\n".join(tables)
    return {name: text or "(Not run.)" for name, text in made.items()}


def _outcomes(found: Found, problem: Problem, detector: str, length: str) -> dict[str, Outcome]:
    """The outcomes of a problem, by the title of their way. The first one is the data as it is."""
    place = PurePath(problem.setting) / detector / length
    return {way.title: found[place / name] for name, way in problem.ways.items()}


def _summary(found: Mapping[str, Found]) -> str:
    """Every way (rows) by detector, length and metric (columns): the data as it is, then differences from it."""
    columns = [(detector, length, metric) for detector in DETECTORS for length in found for metric in METRICS]
    if not columns:
        return ""
    heads = [f"{DETECTORS[detector]}, {length}: {METRICS[metric]}" for detector, length, metric in columns]
    lines = [row("", *heads), row(*["---"] * (1 + len(heads)))]
    for number, problem in enumerate(problems(next(iter(DETECTORS)))):
        cells: dict[str, list[str]] = {}
        for detector, length, metric in columns:
            outcomes = _outcomes(found[length], problems(detector)[number], detector, length)
            as_is = next(iter(outcomes.values()))
            for title, outcome in outcomes.items():
                changed = outcome is not as_is
                cell = _short(difference(outcome, as_is, metric)) if changed else f"{as_is.mean_of(metric):.3f}"
                cells.setdefault(title, []).append(cell)
        lines += [row(f"*{problem.title}*", *[""] * len(heads)), *(row(title, *of) for title, of in cells.items())]
    seeds = " and ".join(f"{len(next(iter(outcomes.values())).runs)} ({length})" for length, outcomes in found.items())
    return "\n".join([*lines, "", f"({_LEGEND} Seeds: {seeds}.)"])


_LEGEND = (
    "*As is*: the mean on held-out images. Other rows: the mean difference from it, between runs with the same seed; bold if its "
    "95 % interval excludes 0."
)


def _short(found: Difference) -> str:
    """A difference, bold if its interval excludes 0."""
    return f"**{found.mean:+.3f}**" if found.low > 0 or found.high < 0 else f"{found.mean:+.3f}"


def _table(found: Found, setting: str, detector: str, length: str) -> str:
    iterations = LENGTHS[length] * UNLABELLED[setting].iterations
    lines = [f"**{DETECTORS[detector]}**, {iterations} iterations", ""]
    head = ["", *_SHOWN.values(), *(f"{words} against as is" for words in METRICS.values())]
    lines += [row(*head), row(*["---"] * len(head))]
    own = [problem for problem in problems(detector) if problem.setting == setting]
    for problem in own:
        outcomes = _outcomes(found, problem, detector, length)
        as_is = next(iter(outcomes.values()))
        for title, outcome in outcomes.items():
            values = [
                f"{outcome.mean:.3f} ± {outcome.spread:.3f}",
                *(f"{outcome.mean_of(metric):.3f}" for metric in list(_SHOWN)[1:]),
            ]
            against = ["" if outcome is as_is else signed(difference(outcome, as_is, metric)) for metric in METRICS]
            lines.append(row(title if len(own) == 1 else f"{problem.title}: {title}", *values, *against))
    return "\n".join(lines)

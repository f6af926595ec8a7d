"""Makes the tables of docs/unlabelled.md from the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mixtures.page import cost, row, signed
from mixtures.settings import DETECTORS, UNLABELLED
from mixtures.statistics import Difference, Outcome, difference
from mixtures.unlabelled import LENGTHS, plans, problems

# The outcomes of a problem by the title of their way; the first one is the data as it is.
Outcomes = Mapping[str, Outcome]
# By detector, length and the title of the problem.
Found = Mapping[tuple[str, str, str], Outcomes]
SHOWN = {"mAP": "mAP", "AP50": "AP50", "recall": "recall at 0.3", "precision": "precision at 0.3", "best_F1": "best F1"}
# The metrics that are compared.
COMPARED = ("mAP", "recall", "best_F1")
_LEGEND = (
    "First row of each problem: the mean on held-out images. Other rows: the mean difference from it, between runs with the same "
    "seed; bold if its 95 % interval excludes 0. *Best F1* is F1 at the score where it is highest."
)


def read(rows: Sequence[Mapping[str, Any]]) -> Found:
    """Reads the outcomes of every problem, with the seeds that all its ways have.

    Args:
        rows: The contents of each result.json, with the folder of its arm as `arm`.

    Returns:
        The outcomes by detector, length and title of the problem. Those without a common seed are left out.
    """
    results: dict[PurePath, dict[int, Mapping[str, Any]]] = {}
    for result in rows:
        results.setdefault(PurePath(result["arm"]), {})[result["run"]["seed"]] = result
    found = {}
    for detector in DETECTORS:
        for length in LENGTHS:
            arms = {plan.folder: plan for plan in plans(length, [])}
            for problem in problems(detector):
                place = PurePath(problem.setting) / detector / length
                ways = {way.title: place / name for name, way in problem.ways.items()}
                seeds = sorted(set.intersection(*(set(results.get(folder, {})) for folder in ways.values())))
                if seeds:
                    found[detector, length, problem.title] = {
                        title: Outcome(arms[folder], {seed: results[folder][seed] for seed in seeds}, ())
                        for title, folder in ways.items()
                    }
    return found


def parts(found: Found) -> dict[str, str]:
    """The generated parts of the page, in Markdown, by name."""
    # Problems share their ceiling.
    arms = {outcome.plan.folder: outcome for outcomes in found.values() for outcome in outcomes.values()}
    made = {"summary": _summary(found), "cost": cost(list(arms.values()))}
    for setting in UNLABELLED:
        for length in LENGTHS:
            made[f"{setting}_{length}"] = "\n\n".join(filter(None, (_table(found, setting, d, length) for d in DETECTORS)))
    return {name: text or "(Not run.)" for name, text in made.items()}


def _summary(found: Found) -> str:
    tables = [table for detector in DETECTORS if (table := _overview(found, detector))]
    return "\n\n".join([*tables, f"({_LEGEND})"]) if tables else ""


def _overview(found: Found, detector: str) -> str:
    """Every way (rows) by length and metric (columns): the data as it is, then differences from it."""
    lengths = [length for length in LENGTHS if any(of[:2] == (detector, length) for of in found)]
    if not lengths:
        return ""
    columns = [(length, metric) for length in lengths for metric in COMPARED]
    heads = [f"{length}: {SHOWN[metric]}" for length, metric in columns]
    iterations = next(iter(UNLABELLED.values())).iterations
    seeds = ", ".join(f"{_seeds(found, detector, of)} ({of}, {LENGTHS[of] * iterations} iterations)" for of in lengths)
    lines = [f"**{DETECTORS[detector]}**, seeds: {seeds}", "", row("", *heads), row(*["---"] * (1 + len(heads)))]
    for problem in problems(detector):
        for number, way in enumerate(problem.ways.values()):
            cells = []
            for length, metric in columns:
                outcomes = list(found.get((detector, length, problem.title), {}).values())
                cells.append(_cell(outcomes[number], outcomes[0], metric) if outcomes else "")
            lines.append(row(way.title if number else f"**{problem.title}**, {way.title}", *cells))
    return "\n".join(lines)


def _seeds(found: Found, detector: str, length: str) -> str:
    """The number of seeds in words."""
    counts = {len(o.runs) for (d, n, _), outcomes in found.items() if (d, n) == (detector, length) for o in outcomes.values()}
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)}))


def _cell(outcome: Outcome, as_is: Outcome, metric: str) -> str:
    return f"{as_is.mean_of(metric):.3f}" if outcome is as_is else _short(difference(outcome, as_is, metric))


def _short(found: Difference) -> str:
    """A difference, bold if its interval excludes 0."""
    return f"**{found.mean:+.3f}**" if found.low > 0 or found.high < 0 else f"{found.mean:+.3f}"


def _table(found: Found, setting: str, detector: str, length: str) -> str:
    titles = [problem.title for problem in problems(detector) if problem.setting == setting]
    own = {title: found[detector, length, title] for title in titles if (detector, length, title) in found}
    if not own:
        return ""
    lines = [f"**{DETECTORS[detector]}**, {LENGTHS[length] * UNLABELLED[setting].iterations} iterations", ""]
    head = ["", "seeds", *SHOWN.values(), *(f"{SHOWN[metric]} against as is" for metric in COMPARED)]
    lines += [row(*head), row(*["---"] * len(head))]
    for problem, outcomes in own.items():
        as_is = next(iter(outcomes.values()))
        for title, outcome in outcomes.items():
            spread = f" ± {outcome.spread:.3f}" if len(outcome.runs) > 1 else ""
            values = [f"{outcome.mean_of(metric):.3f}" for metric in SHOWN]
            against = ["" if outcome is as_is else signed(difference(outcome, as_is, metric)) for metric in COMPARED]
            title = title if len(titles) == 1 else f"{problem}: {title}"
            lines.append(row(title, str(len(outcome.runs)), values[0] + spread, *values[1:], *against))
    return "\n".join(lines)

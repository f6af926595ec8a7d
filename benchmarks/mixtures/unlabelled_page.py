"""Makes the tables of docs/unlabelled.md from the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mixtures.page import cost, row, signed
from mixtures.settings import DETECTORS, UNLABELLED
from mixtures.statistics import Difference, Outcome, difference
from mixtures.unlabelled import LENGTHS, Problem, plans, problems

# The outcomes of a detector at a length, by the folder of their arm.
Outcomes = Mapping[PurePath, Outcome]
# Those that exist, by detector and length.
Found = Mapping[tuple[str, str], Outcomes]
SHOWN = {"mAP": "mAP", "AP50": "AP50", "recall": "recall at 0.3", "precision": "precision at 0.3", "best_F1": "best F1"}
# The metrics that are compared.
COMPARED = ("mAP", "recall", "best_F1")
_LEGEND = (
    "First row of each problem: the mean on held-out images. Other rows: the mean difference from it, between runs with the same "
    "seed; bold if its 95 % interval excludes 0."
)


def read(rows: Sequence[Mapping[str, Any]]) -> Found:
    """Reads the outcomes, with the seeds that all arms of a detector and length have.

    Args:
        rows: The contents of each result.json, with the folder of its arm as `arm`.

    Returns:
        The outcomes by detector and length. Those without a common seed are left out.
    """
    results: dict[PurePath, dict[int, Mapping[str, Any]]] = {}
    for result in rows:
        results.setdefault(PurePath(result["arm"]), {})[result["run"]["seed"]] = result
    found = {}
    for detector in DETECTORS:
        for length in LENGTHS:
            arms = [plan for plan in plans(length, []) if plan.detector == detector]
            seeds = sorted(set.intersection(*(set(results.get(plan.folder, {})) for plan in arms)))
            if seeds:
                found[detector, length] = {
                    plan.folder: Outcome(plan, {seed: results[plan.folder][seed] for seed in seeds}, ()) for plan in arms
                }
    return found


def parts(found: Found) -> dict[str, str]:
    """The generated parts of the page, in Markdown, by name."""
    made = {"summary": _summary(found), "cost": cost([outcome for outcomes in found.values() for outcome in outcomes.values()])}
    for setting in UNLABELLED:
        for length in LENGTHS:
            tables = [
                _table(found[detector, length], setting, detector, length)
                for detector in DETECTORS
                if (detector, length) in found
            ]
            made[f"{setting}_{length}"] = "\n\n".join(tables)
    return {name: text or "(Not run.)" for name, text in made.items()}


def _of(problem: Problem, outcomes: Outcomes, detector: str, length: str) -> dict[str, Outcome]:
    """The outcomes of a problem, by the title of their way. The first one is the data as it is."""
    place = PurePath(problem.setting) / detector / length
    return {way.title: outcomes[place / name] for name, way in problem.ways.items()}


def _summary(found: Found) -> str:
    """Every way (rows) by detector, length and metric (columns): the data as it is, then differences from it."""
    columns = [(detector, length, metric) for detector, length in found for metric in COMPARED]
    if not columns:
        return ""
    heads = [f"{DETECTORS[detector]}, {length}: {SHOWN[metric]}" for detector, length, metric in columns]
    lines = [row("", *heads), row(*["---"] * (1 + len(heads)))]
    by_detector = {detector: problems(detector) for detector in DETECTORS}
    for of_detectors in zip(*by_detector.values(), strict=True):
        problem = dict(zip(by_detector, of_detectors, strict=True))
        cells: dict[str, list[str]] = {}
        for detector, length, metric in columns:
            (_, as_is), *others = _of(problem[detector], found[detector, length], detector, length).items()
            cells.setdefault(f"**{problem[detector].title}**, as is", []).append(f"{as_is.mean_of(metric):.3f}")
            for title, outcome in others:
                cells.setdefault(title, []).append(_short(difference(outcome, as_is, metric)))
        lines += [row(title, *of) for title, of in cells.items()]
    seeds = ", ".join(f"{_seeds(outcomes)} ({DETECTORS[detector]}, {length})" for (detector, length), outcomes in found.items())
    return "\n".join([*lines, "", f"({_LEGEND} Seeds: {seeds}.)"])


def _seeds(outcomes: Outcomes) -> int:
    return len(next(iter(outcomes.values())).runs)


def _short(found: Difference) -> str:
    """A difference, bold if its interval excludes 0."""
    return f"**{found.mean:+.3f}**" if found.low > 0 or found.high < 0 else f"{found.mean:+.3f}"


def _table(outcomes: Outcomes, setting: str, detector: str, length: str) -> str:
    iterations = LENGTHS[length] * UNLABELLED[setting].iterations
    seeds = _seeds(outcomes)
    lines = [f"**{DETECTORS[detector]}**, {iterations} iterations, {seeds} seed{'s' if seeds > 1 else ''}", ""]
    head = ["", *SHOWN.values(), *(f"{SHOWN[metric]} against as is" for metric in COMPARED)]
    lines += [row(*head), row(*["---"] * len(head))]
    own = [problem for problem in problems(detector) if problem.setting == setting]
    for problem in own:
        (_, as_is), *_ = arms = list(_of(problem, outcomes, detector, length).items())
        for title, outcome in arms:
            spread = f" ± {outcome.spread:.3f}" if seeds > 1 else ""
            values = [f"{outcome.mean_of(metric):.3f}" for metric in SHOWN]
            against = ["" if outcome is as_is else signed(difference(outcome, as_is, metric)) for metric in COMPARED]
            title = title if len(own) == 1 else f"{problem.title}: {title}"
            lines.append(row(title, values[0] + spread, *values[1:], *against))
    return "\n".join(lines)

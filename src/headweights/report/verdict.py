"""The verdict at the top of the page: what was set, what it did, what came out, and what to try next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headweights.report.runs.run import Run
from headweights.report.same import main_metric
from headweights.report.shares import Place, Shares, shares_of
from headweights.report.tables import UNKNOWN, differences
from headweights.report.words import changed_weights, joined, number, opposed_gradients, percent
from headweights.weights.addresses import listed

# As many data sets, weights or shares are named; the tables below have them all.
_SHOWN = 3
_TINY = 0.01
# Of fewer measurements, a mean says little.
_ENOUGH = 5


@dataclass(frozen=True)
class _Outcome:
    """The last value of the main metric for each run; None if it has none."""

    metric: str
    values: Sequence[float | None]

    @property
    def known(self) -> list[float]:
        return [value for value in self.values if value is not None]


def verdict(runs: Sequence[Run], datasets: Sequence[str]) -> list[tuple[str, str]]:
    """Sums runs up in a paragraph: headings, each with the sentences after it."""
    shares, outcome = shares_of(runs), _outcome(runs)
    did = _did(runs[0], shares[0]) if len(runs) == 1 else _did_apart(runs, shares)
    parts = dict(Set=_set(runs, datasets), Effect=did, Outcome=_came_out(runs, outcome), Next=_next(runs, shares, outcome))
    return [(heading, sentences) for heading, sentences in parts.items() if sentences]


def _set(runs: Sequence[Run], datasets: Sequence[str]) -> str:
    if len(runs) == 1:
        said = _set_in(runs[0])
        return said[0].upper() + said[1:] if not changed_weights(runs[0]) else said
    different = [row for row in differences(runs, datasets).set if len({*row.values} - {UNKNOWN}) > 1]
    weights = [f"{row.what.replace(': weight in ', ' in ', 1)} ({joined(row.values)})" for row in different if row.datasets]
    others = [row.what for row in different if not row.datasets]
    if len(runs) == 2:
        said = " ".join(f"In {run.name}, {_set_in(run)}" for run in runs)
    else:
        said = f"The runs weigh differently: {listed(weights, _SHOWN)}." if weights else "No weight differs between the runs."
    return said + (f" Other differences: {joined(others)}." if others else "")


def _set_in(run: Run) -> str:
    if not run.table:
        return "no weights by data set are known."
    changed = changed_weights(run)
    if not changed:
        return "every data set counts fully in every head."
    said = _some([f"{name}: {words}." for name, words in changed.items()], "{} more data sets have weights of their own.")
    return " ".join([*said, *(["Every other data set counts fully."] if len(changed) < len(run.datasets) else [])])


def _did(run: Run, shares: Shares) -> str:
    """The shares of the data sets, those first whose share differs most from that of the images."""
    drawn = {dataset.name: dataset.drawn for dataset in run.record.datasets if dataset.drawn is not None}
    of_dataset: dict[str, dict[str, float]] = {}
    for (name, head), share in shares.by_place.items():
        of_dataset.setdefault(name, {})[head] = share

    def moved(name: str) -> float:
        return max(abs(share - drawn.get(name, share)) for share in of_dataset[name].values())

    said = []
    for name in sorted(of_dataset, key=moved, reverse=True):
        images = f"{percent(drawn[name])} of the images, " if name in drawn else ""
        said.append(f"{name} has {images}{_by_head(of_dataset[name])} of {shares.of}.")
    return " ".join(_some(said, "{} more data sets are in the charts below.") + _few([shares])) if len(said) > 1 else ""


def _by_head(by_head: dict[str, float]) -> str:
    """`53% (rpn_head) and 13% (roi_head)`; of many heads, the lowest and the highest."""
    if len(by_head) <= _SHOWN:
        return joined([f"{percent(share)} ({head})" for head, share in by_head.items()])
    low, high = min(by_head, key=by_head.__getitem__), max(by_head, key=by_head.__getitem__)
    return f"from {percent(by_head[low])} ({low}) to {percent(by_head[high])} ({high})"


def _did_apart(runs: Sequence[Run], shares: Sequence[Shares]) -> str:
    """For two heads, the data set whose share differs most between the runs."""
    values: dict[Place, list[float]] = {}
    for place in dict.fromkeys(place for of_run in shares for place in of_run.by_place):
        values[place] = [of_run.by_place[place] for of_run in shares if place in of_run.by_place]
    targets = {run.record.target for run in runs}
    # Where two data sets share a head, one's gain is the other's loss: the target goes last.
    spread = {place: round(max(found) - min(found), 3) for place, found in values.items() if len(found) > 1}
    most = sorted(spread, key=lambda place: (-spread[place], place[0] in targets))
    most = list({head: (name, head) for name, head in reversed(most) if spread[name, head] >= _TINY}.values())[::-1][:2]
    of = next((of_run.of for of_run in shares if of_run.of), "")
    if spread and not most:
        return f"Every data set has the same share of {of} in all runs."
    said = [
        f"{name} has {_by_run(runs, [of_run.by_place.get((name, head)) for of_run in shares], percent)} of {of} in {head}."
        for name, head in most
    ]
    return " ".join(said + (_few(shares) if said else []))


def _few(shares: Sequence[Shares]) -> list[str]:
    least = min((of_run.measurements for of_run in shares if of_run.measurements is not None), default=_ENOUGH)
    return [f"These are means of few measurements ({least}): take them as a hint."] if least < _ENOUGH else []


def _by_run(runs: Sequence[Run], values: Sequence[float | None], text: Callable[[float | None], str]) -> str:
    known = [(value, run.name) for value, run in zip(values, runs) if value is not None]
    if len(known) > _SHOWN:
        low, high = min(known), max(known)
        return f"from {text(low[0])} ({low[1]}) to {text(high[0])} ({high[1]})"
    return joined([f"{text(value)} ({name})" for value, name in known])


def _outcome(runs: Sequence[Run]) -> _Outcome:
    metrics = [run.log.metrics for run in runs]
    title, names = main_metric(name for of_run in metrics for name in of_run) if any(metrics) else ("", [])
    curves = [next((of_run[name] for name in names if name in of_run), None) for of_run in metrics]
    return _Outcome(title, [curve.finite[-1] if curve and curve.finite else None for curve in curves])


def _came_out(runs: Sequence[Run], outcome: _Outcome) -> str:
    known = outcome.known
    if not known:
        return "The log has no validation metric."
    if len(runs) == 1:
        return f"{outcome.metric} is {number(known[0])} at the end."
    said = f"{outcome.metric} at the end: {_by_run(runs, outcome.values, number)}"
    said += f", {_signed(known[1] - known[0])}." if len(known) == 2 else "."
    without = [run.name for run, value in zip(runs, outcome.values) if value is None]
    return said + (f" No value for {joined(without)}." if without else "")


def _signed(difference: float) -> str:
    return "no difference" if difference == 0 else f"a difference of {number(float(f'{difference:.3g}'))}"


def _next(runs: Sequence[Run], shares: Sequence[Shares], outcome: _Outcome) -> str:
    tips = [f"{run.name} is cut short: let it finish before you compare it." for run in runs if run.is_cut_short][:1]
    tips += _tiny_shares(runs, shares)[:1] + _opposed(runs, shares)[:1]
    if not outcome.known:
        tips.append("Add a validation on images of the kind that the detector is meant for.")
    return " ".join(filter(None, [*tips, _chance(runs, outcome), _search(runs)]))


def _tiny_shares(runs: Sequence[Run], shares: Sequence[Shares]) -> list[str]:
    """The data sets that give next to nothing to a head although their weight there is not 0."""
    return [
        f"{name} has only {percent(share)} of {of_run.of} in {place}{f' ({run.name})' if len(runs) > 1 else ''}: "
        "give it more weight there, or leave it out."
        for run, of_run in zip(runs, shares)
        for (name, place), share in of_run.by_place.items()
        if share < _TINY
        and any(row.weight for row in run.table if row.dataset == name and f"{place}.".startswith(f"{row.head}."))
    ]


def _opposed(runs: Sequence[Run], shares: Sequence[Shares]) -> list[str]:
    return [
        f"{sentence}: less weight for {pair[0]} there may help."
        for run, of_run in zip(runs, shares)
        for pair, sentence in opposed_gradients(run)
        if (of_run.measurements or 0) >= _ENOUGH
    ]


def _chance(runs: Sequence[Run], outcome: _Outcome) -> str:
    """How far the outcome is chance: what runs differ by that have other seeds only, or advice to repeat the runs."""
    by_seed: dict[str, dict[str, float]] = {}
    for run, value in zip(runs, outcome.values):
        if value is not None and run.table and not run.is_cut_short:
            settings = {name: setting for name, setting in run.main.items() if name != "seed"}
            by_seed.setdefault(repr((run.table, settings)), {})[run.main.get("seed", "")] = value
    spread = max((max(of.values()) - min(of.values()) for of in by_seed.values() if len(of) > 1), default=None)
    if spread is not None:
        return (
            f"Runs that differ in their seeds alone differ by up to {number(float(f'{spread:.3g}'))}: less than that is chance."
        )
    if len(runs) > 1:
        return "One training each proves nothing: repeat them with other seeds."
    if not runs[0].table:
        return "Train with headweights to see what each data set does in each head."
    if not changed_weights(runs[0]):
        return "Give less weight to a data set in a head that it teaches badly, and put both runs side by side."
    return "One training proves nothing: repeat it without weights and with other seeds, and put the runs side by side."


def _search(runs: Sequence[Run]) -> str:
    is_of_mmengine = any(run.framework == "mmengine" for run in runs)
    if not any(run.table for run in runs):
        return ""
    return f"Or search the weights: {'headweights tune' if is_of_mmengine else 'LossWeights.hp_space'}."


def _some(sentences: Sequence[str], rest: str) -> list[str]:
    more = len(sentences) - _SHOWN
    return [*sentences[:_SHOWN], *([rest.format(more)] if more > 0 else [])]

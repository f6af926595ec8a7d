"""The tables: the weights of data sets in the heads of a run, and the differences between runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from headweights.report.runs.log import Curve
from headweights.report.runs.run import MAIN, Run
from headweights.report.same import by_title
from headweights.report.words import NOTHING, number, of_head, percent, schedule_in_words
from headweights.run_record.schema import DataSetRecord, WeightRecord

# Settings that differ between any two runs.
_IGNORED = ("work_dir", "experiment_name", "visualizer", "vis_backends", "_wandb", "output_dir", "logging_dir", "run_name")
UNKNOWN = "unknown"
_K = TypeVar("_K")

# Metrics with one of these in their names are better when lower.
_LOWER_IS_BETTER = ("loss", "error", "err_", "miss_rate")


@dataclass
class Cell:
    """A data set's weight in a head, and the weights of losses that differ from it."""

    weight: str = ""
    share: str = ""
    is_default: bool = False
    losses: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class WeightRow:
    """A row of the table of weights, with a cell per head. `dataset` is the number of the data set."""

    name: str
    dataset: int
    images: str
    objects: str
    drawn: str
    cells: list[Cell]


@dataclass
class WeightTable:
    """The weights of a run."""

    run: int
    name: str
    heads: list[tuple[str, str]]
    rows: list[WeightRow]
    source: str


@dataclass
class Difference:
    """A difference between runs: a value per run and, for results, each value minus the first run's."""

    what: str
    values: list[str]
    deltas: list[str] = field(default_factory=list)
    datasets: list[int] = field(default_factory=list)


@dataclass
class Differences:
    """The differences between runs.

    Args:
        set: Weights and main settings that differ.
        settings: Other settings that differ.
        outcomes: The last step and the validation metrics.
        same: Main settings that are the same in all runs.
    """

    set: list[Difference]
    settings: list[Difference]
    outcomes: list[Difference]
    same: list[str]


def weight_table(run: Run, number_of_run: int, datasets: Sequence[str]) -> WeightTable:
    """The weights of one run, by data set and head."""
    table = run.table
    recorded = {head.path: head.class_name.removesuffix("WithWeightPerImage") for head in run.record.heads}
    heads = {row.head: recorded.get(row.head, "") for row in table}
    known = {dataset.name: dataset for dataset in run.record.datasets}
    rows = []
    for name in run.datasets:
        dataset = known.get(name, DataSetRecord(name=name))
        cells = [_cell([row for row in table if row.dataset == name and row.head == head]) for head in heads]
        counts = number(dataset.images), number(dataset.objects), percent(dataset.drawn)
        rows.append(WeightRow(name, datasets.index(name), *counts, cells))
    source = "" if run.record.table else "as last logged; the run did not record them"
    return WeightTable(number_of_run, run.name, list(heads.items()), rows, source)


def _cell(rows: Sequence[WeightRecord]) -> Cell:
    if not rows:
        return Cell(NOTHING)
    by_loss = {row.loss: row for row in rows}
    # One weight stands for all losses of a head without a row of its own only if their shares agree too.
    common, differing = of_head({row.loss: (_weight(row), "" in by_loss or row.share) for row in rows})
    losses = [
        (loss, weight + ("" if by_loss[loss].share is None else f" ({percent(by_loss[loss].share)})"))
        for loss, (weight, _) in differing.items()
    ]
    if common is None:
        return Cell(losses=losses)
    whole = by_loss.get("", rows[0])
    return Cell(common[0], "" if whole.share is None else percent(whole.share), whole.source == "default", losses)


def _weight(row: WeightRecord) -> str:
    """The weight or schedule, with the effective weight and the weight of the background if they differ."""
    background = "" if row.background is None else f", background {number(row.background)}"
    if row.schedule:
        return schedule_in_words(row.schedule) + background
    changed = row.effective_weight is not None and abs(row.effective_weight - row.weight) > 1e-9
    return number(row.weight) + (f", effective {number(row.effective_weight)}" if changed else "") + background


def differences(runs: Sequence[Run], datasets: Sequence[str]) -> Differences:
    """The differences between runs, each compared with the first."""
    set_: list[Difference] = []
    same: list[str] = []
    for name in MAIN:
        main = [run.main.get(name, UNKNOWN) or NOTHING for run in runs]
        if len(set(main)) > 1:
            set_.append(Difference(name, main))
        elif main[0] not in (NOTHING, UNKNOWN):
            same.append(f"{name} {main[0]}")
    weights = [{(row.dataset, row.head, row.loss): _weight(row) for row in run.table} for run in runs]
    equal = True
    for dataset, head in dict.fromkeys((dataset, head) for dataset, head, _ in _union(weights)):
        losses = dict.fromkeys(loss for name, path, loss in _union(weights) if (name, path) == (dataset, head))
        common, rows = of_head({loss: tuple(_weight_in(table, dataset, head, loss) for table in weights) for loss in losses})
        for loss, values in [("", common or ()), *rows.items()]:
            if len(set(values)) > 1:
                equal = False
                # Full weight says nothing in a head that other runs do not have, or beside a run of unknown weights.
                if set(values) == {"1", NOTHING} and all(dataset in run.datasets for run in runs):
                    continue
                if set(values) == {"1", UNKNOWN}:
                    continue
                what = f"weight in {head}" + (f", {loss}" if loss else "")
                set_.append(Difference(f"{dataset}: {what}", list(values), datasets=[datasets.index(dataset)]))
    if equal and all(weights):
        same.append("all weights")
    settings: list[Difference] = []
    # Frameworks have no other settings in common.
    if all(run.settings for run in runs) and len({run.framework for run in runs}) == 1:
        for path in _union([run.settings for run in runs]):
            other = [run.settings.get(path, NOTHING) for run in runs]
            if len(set(other)) > 1 and not path.startswith(_IGNORED):
                settings.append(Difference(path, other))
    return Differences(set_, settings, _outcomes(runs), same)


def _weight_in(table: dict[tuple[str, str, str], str], dataset: str, head: str, loss: str) -> str:
    """The weight in a run's table: of the loss, else of its head, else 1 if the run has both this data set and this head."""
    if not table:
        return UNKNOWN
    by_loss = {of: weight for (name, path, of), weight in table.items() if (name, path) == (dataset, head)}
    if not by_loss:
        return "1" if any(name == dataset for name, _, _ in table) and any(path == head for _, path, _ in table) else NOTHING
    return by_loss.get(loss, of_head(by_loss)[0] or NOTHING)


def _outcomes(runs: Sequence[Run]) -> list[Difference]:
    rows = [_numeric("last step logged", [float(run.log.last_step) for run in runs])]
    titles = by_title(_union([run.log.metrics for run in runs]))
    # The mean average precision comes before what evaluations add to it, such as the precision of each class.
    for title, names in sorted(titles.items(), key=lambda entry: "map" not in entry[0].lower()):
        curves = [next((run.log.metrics[name] for name in names if name in run.log.metrics), None) for run in runs]
        best = min if any(part in title.lower() for part in _LOWER_IS_BETTER) else max
        rows.append(_numeric(f"{title}, last", _each(curves, lambda values: values[-1])))
        if any(curve and len(curve.finite) > 1 for curve in curves):
            rows.append(_numeric(f"{title}, best", _each(curves, best)))
    return rows


def _each(curves: Sequence[Curve | None], of: Callable[[list[float]], float]) -> list[float | None]:
    return [of(curve.finite) if curve is not None and curve.finite else None for curve in curves]


def _numeric(what: str, values: Sequence[float | None]) -> Difference:
    first = values[0]
    deltas = [""]
    for value in values[1:]:
        delta = None if value is None or first is None else value - first
        deltas.append(
            "" if delta is None else "same" if delta == 0 else ("+" if delta > 0 else "") + number(float(f"{delta:.3g}"))
        )
    return Difference(what, [number(value) for value in values], deltas)


def _union(tables: Iterable[dict[_K, Any]]) -> list[_K]:
    return list(dict.fromkeys(key for table in tables for key in table))

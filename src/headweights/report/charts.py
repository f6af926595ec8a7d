"""Groups the curves into charts, as data for the page's script."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headweights.report.runs.log import Curve
from headweights.report.runs.run import Run
from headweights.report.same import by_title
from headweights.run_record.log_entries import (
    GRADIENT_COSINE,
    GRADIENT_SHARE,
    LOSS_SHARE,
    RAW_LOSS,
    WEIGHT,
    WEIGHTED_LOSS,
    Entry,
    split_pair,
)

# More points than a screen has pixels would only enlarge the file.
MOST_POINTS = 2000
_DIGITS = 5

_SHARE = ".0%"
_PLAIN = "~g"


@dataclass
class Line:
    """A curve in a chart. The numbers in `datasets` and `run` select its colour and dashes and the buttons that hide it."""

    name: str
    run: int
    datasets: list[int]
    x: list[int]
    y: list[float | None]


@dataclass
class Chart:
    """A chart. Its y axis has the label `y`, a d3 `format` and a `range`; without one, Plotly chooses it, from 0 if `from_zero`.

    With `steps`, a value holds until the next one, instead of a line between them.
    """

    title: str
    y: str
    format: str = _PLAIN
    range: tuple[float, float] | None = None
    steps: bool = False
    from_zero: bool = False
    traces: list[Line] = field(default_factory=list)


@dataclass
class Group:
    """Charts under one heading. Those in `more` are collapsed at first."""

    title: str
    charts: list[Chart]
    more: list[Chart] = field(default_factory=list)


def thin(curve: Curve) -> tuple[list[int], list[float | None]]:
    """Reduces a curve to about 2000 points: the lowest and the highest value of each stretch, so that no spike is lost."""
    steps, values = curve.steps, curve.values
    if len(steps) > MOST_POINTS:
        width = -(-2 * len(steps) // MOST_POINTS)
        chosen: set[int] = {0, len(steps) - 1}
        for begin in range(0, len(steps), width):
            stretch = range(begin, min(begin + width, len(steps)))
            finite = [index for index in stretch if values[index] is not None] or [begin]
            chosen.update((min(finite, key=lambda i: values[i] or 0), max(finite, key=lambda i: values[i] or 0)))
        indices = sorted(chosen)
        steps, values = [steps[index] for index in indices], [values[index] for index in indices]
    return steps, [None if value is None else _rounded(value) for value in values]


def _rounded(value: float) -> float:
    rounded = float(f"{value:.{_DIGITS}g}")
    return rounded if math.isfinite(rounded) else value  # the largest floats round to infinity


def _changes(curve: Curve) -> bool:
    """Whether a weight changes by more than the rounding of its mean over the images."""
    return bool(curve.finite) and max(curve.finite) - min(curve.finite) > 1e-6 * max(curve.finite)


@dataclass
class Charts:
    """Makes the charts of runs.

    Args:
        runs: The runs. Their order determines their dashes.
        datasets: The names of the data sets. Their order determines their colours.
    """

    runs: Sequence[Run]
    datasets: Sequence[str]

    def losses(self) -> list[Group]:
        """Raw and weighted losses: a group per head, a pair of charts per loss."""
        groups: dict[str, list[Chart]] = {}
        for term in self._terms(RAW_LOSS, WEIGHTED_LOSS):
            charts = [
                self._of_entries(quantity, term, f"{term}, {kind}", "loss")
                for quantity, kind in ((RAW_LOSS, "raw"), (WEIGHTED_LOSS, "weighted"))
            ]
            groups.setdefault(self._head(term), []).extend(chart for chart in charts if chart.traces)
        return [Group(head, charts[:8], charts[8:]) for head, charts in groups.items()]

    def loss_shares(self) -> list[Group]:
        """Each data set's share of the weighted loss: a chart per term."""
        return self._by_term(LOSS_SHARE, "share of the loss", format=_SHARE, range=(0, 1))

    def gradient_shares(self) -> list[Group]:
        """Each data set's share of the gradient: a chart per head."""
        return self._by_term(GRADIENT_SHARE, "share of the gradient", format=_SHARE, range=(0, 1))

    def weights(self) -> list[Group]:
        """The weights that change: a chart per term."""
        return self._by_term(WEIGHT, "weight", shows=_changes, steps=True)

    def cosines(self) -> list[Group]:
        """The cosines between the gradients of two data sets: a chart per head."""
        return self._by_term(GRADIENT_COSINE, "cosine", range=(-1, 1))

    def metrics(self) -> list[Group]:
        """The validation metrics: a chart per metric."""
        return _one_group(self._plain(lambda run: run.log.metrics), 6)

    def training(self) -> list[Group]:
        """The framework's own training scalars: loss and learning rate first, the others collapsed."""
        charts = self._plain(lambda run: run.log.training)
        order = ("loss", "lr", "learning_rate", "grad_norm")
        first = [chart for name in order for chart in charts if chart.title.split(" ")[0] == name]
        rest = [chart for chart in charts if chart not in first]
        return [Group("", first or rest, rest if first else [])] if charts else []

    def _by_term(self, quantity: str, y: str, **look: Any) -> list[Group]:
        charts = [self._of_entries(quantity, term, term, y, **look) for term in self._terms(quantity)]
        return _one_group([chart for chart in charts if chart.traces])

    def _terms(self, *quantities: str) -> list[str]:
        return list(dict.fromkeys(entry.term for run in self.runs for entry in run.log.entries if entry.quantity in quantities))

    def _head(self, term: str) -> str:
        # Prefer a run with a record, which tells a head's path from its losses.
        return next((run for run in self.runs if run.record.heads), self.runs[0]).split_term(term)[0]

    def _of_entries(
        self,
        quantity: str,
        term: str,
        title: str,
        y: str,
        *,
        shows: Callable[[Curve], bool] = lambda curve: bool(curve.finite),
        format: str = _PLAIN,
        range: tuple[float, float] | None = None,
        steps: bool = False,
    ) -> Chart:
        chart = Chart(title, y, format, range, steps, from_zero=range is None)
        for number, run in enumerate(self.runs):
            for entry, curve in sorted(run.log.entries.items(), key=lambda item: self._numbers(item[0])):
                if entry.quantity == quantity and entry.term == term and shows(curve):
                    name = entry.dataset if len(self.runs) == 1 else f"{entry.dataset} · {run.name}"
                    chart.traces.append(Line(name, number, self._numbers(entry), *thin(curve)))
        return chart

    def _numbers(self, entry: Entry) -> list[int]:
        names = split_pair(entry.dataset, self.datasets) if entry.quantity == GRADIENT_COSINE else (entry.dataset,)
        # A pair's line has the colour of its last data set. The target goes first, or all lines would have the target's colour.
        if names[-1] in [run.record.target for run in self.runs]:
            names = names[::-1]
        return [self.datasets.index(name) for name in names if name in self.datasets]

    def _plain(self, curves: Callable[[Run], dict[str, Curve]]) -> list[Chart]:
        charts = []
        for title, names in by_title(name for run in self.runs for name in curves(run)).items():
            chart = Chart(title, "")
            for number, run in enumerate(self.runs):
                found = [curve for name, curve in curves(run).items() if name in names]
                chart.traces += [Line(run.name, number, [], *thin(curve)) for curve in found]
            charts.append(chart)
        return charts


def _one_group(charts: list[Chart], first: int = 12) -> list[Group]:
    return [Group("", charts[:first], charts[first:])] if charts else []

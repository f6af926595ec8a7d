"""The charts: which curves go together, as data for the page's script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from headweights.report.log import Curve
from headweights.report.run import Run
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

# More points than a screen has pixels only make the file large.
MOST_POINTS = 2000
_DIGITS = 5

_SHARE = ".0%"
_PLAIN = "~g"


@dataclass
class Trace:
    """A curve in a chart. `datasets` and `run` are numbers: what its colour and dashes are, and what switches it off."""

    name: str
    run: int
    datasets: list[int]
    x: list[int]
    y: list[float | None]


@dataclass
class Chart:
    """A chart: its title, what its y axis holds and how it is written (d3), the axis' range where it is fixed.

    With `steps` a value holds until the next one; with `from_zero` the axis begins at 0, so that heights compare.
    """

    title: str
    y: str
    format: str = _PLAIN
    range: tuple[float, float] | None = None
    steps: bool = False
    from_zero: bool = False
    traces: list[Trace] = field(default_factory=list)

    @property
    def as_dict(self) -> dict[str, Any]:
        """The chart as JSON data."""
        return asdict(self)


@dataclass
class Group:
    """Charts under one heading; those in `more` are folded away at first."""

    title: str
    charts: list[Chart]
    more: list[Chart] = field(default_factory=list)


def thin(curve: Curve) -> tuple[list[int], list[float | None]]:
    """At most 2000 points of a curve: of each stretch the lowest and the highest value, so that no spike is lost."""
    steps, values = curve.steps, curve.values
    if len(steps) > MOST_POINTS:
        width = -(-2 * len(steps) // MOST_POINTS)
        kept: set[int] = {0, len(steps) - 1}
        for begin in range(0, len(steps), width):
            stretch = range(begin, min(begin + width, len(steps)))
            finite = [index for index in stretch if values[index] is not None] or [begin]
            kept.update((min(finite, key=lambda i: values[i] or 0), max(finite, key=lambda i: values[i] or 0)))
        indices = sorted(kept)
        steps, values = [steps[index] for index in indices], [values[index] for index in indices]
    return steps, [None if value is None else float(f"{value:.{_DIGITS}g}") for value in values]


@dataclass
class Charts:
    """Makes the charts of runs.

    Args:
        runs: The runs, in the order of their dashes.
        datasets: The data sets' names, in the order of their colours.
    """

    runs: Sequence[Run]
    datasets: Sequence[str]

    def losses(self) -> list[Group]:
        """Raw and weighted losses, a group a head, a pair of charts a loss."""
        groups: dict[str, list[Chart]] = {}
        for term in self._terms(RAW_LOSS, WEIGHTED_LOSS):
            charts = [
                self._of_entries(quantity, term, said, "loss")
                for quantity, said in ((RAW_LOSS, "raw"), (WEIGHTED_LOSS, "weighted"))
            ]
            groups.setdefault(self._head(term), []).extend(chart for chart in charts if chart.traces)
        return [_folded(head, charts, 8) for head, charts in groups.items()]

    def loss_shares(self) -> list[Group]:
        """Each data set's share of the weighted loss, a chart a term."""
        return self._grouped(LOSS_SHARE, "share of the loss", _SHARE, (0, 1))

    def gradient_shares(self) -> list[Group]:
        """Each data set's share of the gradient, a chart a head."""
        return self._grouped(GRADIENT_SHARE, "share of the gradient", _SHARE, (0, 1))

    def weights(self) -> list[Group]:
        """The weights that move, a chart a term."""
        charts = [self._of_entries(WEIGHT, term, "", "weight", keep=_moves, steps=True) for term in self._terms(WEIGHT)]
        return _one_group([chart for chart in charts if chart.traces])

    def cosines(self) -> list[Group]:
        """The cosine between two data sets' gradients, a chart a head."""
        charts = [self._of_entries(GRADIENT_COSINE, term, "", "cosine", range=(-1, 1)) for term in self._terms(GRADIENT_COSINE)]
        return _one_group([chart for chart in charts if chart.traces])

    def metrics(self) -> list[Group]:
        """The validation metrics, a chart each."""
        return _one_group(self._plain(lambda run: run.log.metrics, ""), 6)

    def training(self) -> list[Group]:
        """What mmengine logs of the training by itself: the loss and the learning rate first, the rest folded away."""
        charts = self._plain(lambda run: run.log.training, "")
        first = [chart for name in ("loss", "lr", "grad_norm") for chart in charts if chart.title == name]
        rest = [chart for chart in charts if chart not in first]
        return [Group("", first or rest, rest if first else [])] if charts else []

    def _grouped(self, quantity: str, y: str, format: str, range: tuple[float, float]) -> list[Group]:
        charts = [self._of_entries(quantity, term, "", y, format=format, range=range) for term in self._terms(quantity)]
        return _one_group([chart for chart in charts if chart.traces])

    def _terms(self, *quantities: str) -> list[str]:
        return list(dict.fromkeys(entry.term for run in self.runs for entry in run.log.entries if entry.quantity in quantities))

    def _head(self, term: str) -> str:
        # A record knows where a head's path ends and its loss begins.
        recorded = [run for run in self.runs if run.record]
        return (recorded or self.runs)[0].split_term(term)[0]

    def _of_entries(
        self,
        quantity: str,
        term: str,
        said: str,
        y: str,
        *,
        keep: Callable[[Curve], bool] = lambda curve: bool(curve.finite),
        format: str = _PLAIN,
        range: tuple[float, float] | None = None,
        steps: bool = False,
    ) -> Chart:
        chart = Chart(f"{term}, {said}" if said else term, y, format, range, steps, from_zero=range is None)
        for number, run in enumerate(self.runs):
            for entry, curve in sorted(run.log.entries.items(), key=lambda item: self._numbers(item[0])):
                if entry.quantity == quantity and entry.term == term and keep(curve):
                    name = entry.dataset if len(self.runs) == 1 else f"{entry.dataset} · {run.name}"
                    chart.traces.append(Trace(name, number, self._numbers(entry), *thin(curve)))
        return chart

    def _numbers(self, entry: Entry) -> list[int]:
        names = split_pair(entry.dataset, self.datasets) if entry.quantity == GRADIENT_COSINE else (entry.dataset,)
        # A pair's line has the colour of the last one. With the target last, every line would have the target's.
        targets = {run.record.target for run in self.runs if run.record}
        if len(names) == 2 and names[1] in targets:
            names = names[::-1]
        return [self.datasets.index(name) for name in names if name in self.datasets]

    def _plain(self, curves: Callable[[Run], dict[str, Curve]], y: str) -> list[Chart]:
        charts: dict[str, Chart] = {}
        for number, run in enumerate(self.runs):
            for name, curve in curves(run).items():
                chart = charts.setdefault(name, Chart(name, y))
                chart.traces.append(Trace(run.name, number, [], *thin(curve)))
        return list(charts.values())


def _moves(curve: Curve) -> bool:
    return len(set(curve.finite)) > 1


def _folded(title: str, charts: list[Chart], first: int) -> Group:
    return Group(title, charts[:first], charts[first:])


def _one_group(charts: list[Chart], first: int = 12) -> list[Group]:
    return [_folded("", charts, first)] if charts else []


def all_charts(groups: Iterable[Group]) -> list[Chart]:
    """The charts of groups, those folded away too."""
    return [chart for group in groups for chart in (*group.charts, *group.more)]

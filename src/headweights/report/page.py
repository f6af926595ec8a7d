"""The page: one self-contained HTML file."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from headweights import __version__
from headweights.errors import WeightError
from headweights.report.charts import Charts, Group
from headweights.report.pictures import Picture, pictures_of
from headweights.report.runs.readers import read_runs
from headweights.report.runs.run import Run
from headweights.report.tables import differences, weight_table
from headweights.report.verdict import verdict
from headweights.report.words import dataset_in_words, labels_in_words, number, opposed_gradients, percent
from headweights.run_record.log_entries import GRADIENT_COSINE, GRADIENT_SHARE, LOSS_SHARE, RAW_LOSS, WEIGHT, WEIGHTED_LOSS

DEFAULT_NAME = "report.html"

# The number of colours in page.css. Further data sets reuse them, with points on their curves.
COLOURS = 8
# The points on the curves of each run, as paths around (20, 5). page.js has their names in Plotly. Further runs reuse them.
SYMBOLS = (
    "M20 1a4 4 0 1 0 0 8a4 4 0 1 0 0-8z",
    "M16.5 1.5h7v7h-7z",
    "M20 .2l4.8 4.8-4.8 4.8-4.8-4.8z",
    "M20 1l4.6 7.8h-9.2z",
    "M20 9l4.6-7.8h-9.2z",
    "M18.4 1h3.2v2.4h2.4v3.2h-2.4V9h-3.2V6.6H16V3.4h2.4z",
    "M15.5 5l8-4.5v9z",
    "M24.500 5l-8-4.5v9z",
)


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Writes the report of one training run, or of several side by side.

    Args:
        folders: The folders of the runs: work_dirs of mmengine, output_dirs of transformers' Trainer, or both. The others are
            compared with the first.
        out: The HTML file. Its folder is created if needed, and an earlier file is replaced.

    Returns:
        The absolute path of the file.

    Raises:
        WeightError: A folder does not exist or contains no log, or `out` is a folder. Nothing is written.
        OSError: The file cannot be written. An earlier file is unchanged.
    """
    if not folders:
        raise WeightError("no folder is named; a report needs at least one run.")
    if out.is_dir():
        raise WeightError(f"{out} is a folder; name the HTML file to write.")
    page = make_page(read_runs(folders))
    out = Path(os.path.abspath(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    # Replaced in one step, so that nobody sees a half-written report.
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        part.write_text(page, encoding="utf-8", errors="replace")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return out


@dataclass
class _Section:
    """A section of charts. `short` is its name in the navigation, `empty` the text if there are no charts."""

    short: str
    title: str
    intro: str
    groups: list[Group]
    empty: str
    warnings: list[tuple[int, list[int], str]] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return self.short.lower().replace(" ", "-")


@dataclass
class _Shown:
    """A data set on the page: its weights in words for each run, and its sample images."""

    name: str
    number: int
    facts: str
    is_target: bool
    words: list[tuple[int, str, str]]
    pictures: list[Picture]
    without_pictures: str


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, loader=jinja2.BaseLoader()
    )
    return environment.from_string(_part("page.html.jinja"))


def make_page(runs: Sequence[Run]) -> str:
    """The HTML of the report, including Plotly's script, styles, data and images."""
    datasets = list(dict.fromkeys(name for run in runs for name in run.datasets))
    sections = _sections(runs, datasets)
    charts = [chart for section in sections for group in section.groups for chart in (*group.charts, *group.more)]
    numbers = {id(chart): n for n, chart in enumerate(charts)}
    return _template().render(
        version=__version__,
        css=_part("page.css"),
        script=_part("page.js"),
        plotly=get_plotlyjs(),
        data=_json({"charts": [asdict(chart) for chart in charts], "datasets": datasets, "runs": [run.name for run in runs]}),
        title=title_of(runs),
        runs=runs,
        verdict=verdict(runs, datasets),
        facts=[_facts(run) for run in runs],
        datasets=datasets,
        shown=[_shown(name, n, runs) for n, name in enumerate(datasets)],
        tables=[weight_table(run, n, datasets) for n, run in enumerate(runs) if run.table],
        differences=differences(runs, datasets) if len(runs) > 1 else None,
        sections=sections,
        chart_number=lambda chart: numbers[id(chart)],
        colours=COLOURS,
        dashes=len(SYMBOLS),
        symbols=SYMBOLS,
    )


def title_of(runs: Sequence[Run]) -> str:
    """The names of the runs; of more than two, the first one and how many more."""
    names = [run.name for run in runs]
    return " · ".join(names) if len(names) <= 2 else f"{names[0]} and {len(names) - 1} more runs"


def _part(name: str) -> str:
    return (files("headweights.report") / name).read_text(encoding="utf-8")


def _json(data: Any) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _sections(runs: Sequence[Run], datasets: Sequence[str]) -> list[_Section]:
    charts = Charts(runs, datasets)
    opposed = []
    for n, run in enumerate(runs):
        for pair, sentence in opposed_gradients(run):
            numbers = [datasets.index(name) for name in pair if name in datasets]
            opposed.append((n, numbers, (f"{run.name}: " if len(runs) > 1 else "") + sentence + "."))
    logged = {entry.quantity for run in runs for entry in run.log.entries}
    constant = "The weights did not change; the table above has them." if WEIGHT in logged else _absent(WEIGHT)
    return [
        _Section(
            "Losses",
            "Losses by data set and head",
            "Raw: as if every weight were 1. Weighted: what trains the detector.",
            charts.losses(),
            _absent(RAW_LOSS, WEIGHTED_LOSS),
        ),
        _Section(
            "Loss shares",
            "Shares of the loss",
            "Each data set's share of a head's weighted loss.",
            charts.loss_shares(),
            _absent(LOSS_SHARE),
        ),
        _Section("Over time", "Weights over time", "The weights that change.", charts.weights(), constant),
        _Section(
            "Gradient shares",
            "Shares of the gradient",
            "Each data set's share of the gradient that a head sends into the features.",
            charts.gradient_shares(),
            _absent(GRADIENT_SHARE),
        ),
        _Section(
            "Cosines",
            "Gradient cosines",
            "1: two data sets pull a head in the same direction; 0: they are unrelated; below 0: they work against each other. "
            "The line has the colour of one data set, its points that of the other.",
            charts.cosines(),
            _absent(GRADIENT_COSINE),
            opposed,
        ),
        _Section(
            "Validation",
            "Validation",
            "A value is drawn at its training step or, where mmengine counts epochs, at the last training step logged before it.",
            charts.metrics(),
            "No validation metrics in the log.",
        ),
        _Section(
            "Training",
            "Training as logged",
            "The framework's own scalars, over all data sets together.",
            charts.training(),
            "No training losses in the log.",
        ),
    ]


def _absent(*quantities: str) -> str:
    return "Not in the log: no entries " + " or ".join(f"{quantity}/…" for quantity in quantities) + "."


def _facts(run: Run) -> str:
    facts = [run.framework, f"{number(run.log.last_step)} steps logged"]
    if len(run.sessions) > 1:
        facts.append(f"{len(run.sessions)} sessions, the last from {run.sessions[-1]}")
    if run.record.target:
        facts.append(f"target: {run.record.target}")
    return ", ".join(facts)


def _shown(name: str, n: int, runs: Sequence[Run]) -> _Shown:
    recorded = [(run, dataset) for run in runs for dataset in run.record.datasets if dataset.name == name]
    facts: list[str] = []
    pictures: list[Picture] = []
    if recorded:
        dataset = recorded[0][1]
        counts = ((dataset.images, "images"), (dataset.objects, "objects"))
        facts = [f"{number(value)} {unit}" for value, unit in counts if value is not None]
        if dataset.drawn is not None:
            facts.append(f"{percent(dataset.drawn)} of all drawn images")
        if dataset.classes:
            more = len(dataset.classes) - 8
            facts.append("classes: " + ", ".join(dataset.classes[:8]) + (f" and {more} more" if more > 0 else ""))
    for run, dataset in recorded:
        pictures = pictures_of(dataset, run.path)
        if any(picture.uri for picture in pictures):
            break
    words = []
    for run_number, run in enumerate(runs):
        if name in run.datasets:
            logged = " (as last logged)" if run.table and not run.record.table else ""
            labels = [labels_in_words(dataset) for of_run, dataset in recorded if of_run is run]
            weights = dataset_in_words(run.table, name) + logged
            words.append((run_number, run.name, ". It ".join(filter(None, [weights, *labels]))))
    without = "" if pictures else "No sample images were recorded." if recorded else "Not recorded, so there are no images."
    is_target = any(run.record.target == name for run in runs)
    return _Shown(name, n, " · ".join(facts), is_target, words, pictures, without)

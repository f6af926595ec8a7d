"""The table of a mix, data sets by heads: for people with Rich, for logs as plain text, for machines as records."""

from __future__ import annotations

import io
from typing import Any

from rich.box import ASCII
from rich.console import Console
from rich.table import Table

from headweights.mixture.labelled import labels_in_words
from headweights.mixture.mix import START, DataSet, Mix
from headweights.weights.addresses import at_or_below
from headweights.weights.schedules import Constant, Weight

_BY_PIPELINE = "*"
_NOTE = f"{_BY_PIPELINE} set by the data set's pipeline, which wins over the hook's block"

Term = tuple[str, str]


def columns(mix: Mix) -> list[tuple[str, Term]]:
    """Returns the columns of the table: a title and one of the losses that share the column.

    There is a column for each head of the detector (``roi_head``). Where the heads inside it, or its losses, have different
    weights, each gets a column of its own.
    """
    return [column for top in dict.fromkeys(head.split(".")[0] for head in mix.book.weighted) for column in _columns(mix, top)]


def _columns(mix: Mix, path: str) -> list[tuple[str, Term]]:
    """The columns of the heads at or below a path."""

    def cells(term: Term) -> Any:
        return [(mix.given(name, *term), _background(mix, name, term), mix.shares(*term)[name]) for name in mix.datasets]

    terms = [term for term in mix.terms if at_or_below(term[0], path)]
    if all(cells(term) == cells(terms[0]) for term in terms):
        return [(path, terms[0])]
    found = [(f"{path}.{loss}", (head, loss)) for head, loss in terms if head == path]
    depth = path.count(".") + 1
    for child in dict.fromkeys(".".join(head.split(".")[: depth + 1]) for head, _ in terms if head != path):
        found += _columns(mix, child)
    return found


def table_of(mix: Mix) -> Table:
    """Returns the table: for each data set its images, its objects, and in each head its weight and, in brackets, its share.

    Where nobody counted objects, as for data sets that are read item by item, there is no column for them. There is one for the
    classes that each labels where some data set does not label all.
    """
    heads = columns(mix)
    caption = "in brackets: the effective share, images drawn x weight" if mix.is_known else "shares are not known"
    caption += "; normalised to a mean weight of 1" * mix.normalize
    has_objects = any(dataset.objects is not None for dataset in mix.datasets.values())
    table = Table(title="Loss weights by data set and head", show_lines=False)
    table.add_column("data set")
    table.add_column("images", justify="right")
    if has_objects:
        table.add_column("objects", justify="right")
    labels = any(dataset.labelled is not None for dataset in mix.datasets.values())
    if labels:
        table.add_column("labels", overflow="fold")
    for title, _ in heads:
        table.add_column(title, justify="right", overflow="fold")
    for dataset in mix.datasets.values():
        cells = [_cell(mix, dataset.name, term) for _, term in heads]
        objects = [_objects(dataset)] if has_objects else []
        labelled = dataset.classes if dataset.labelled is None else dataset.labelled
        words = [labels_in_words(labelled, dataset.classes)] if labels else []
        table.add_row(dataset.name, _count(dataset.images), *objects, *words, *cells)
        if any(_BY_PIPELINE in cell for cell in cells) and _NOTE not in caption:
            caption += f"; {_NOTE}"
    table.caption = caption
    return table


def _cell(mix: Mix, dataset: str, term: Term) -> str:
    given = mix.given(dataset, *term)
    weight = str(given.weight) + _BY_PIPELINE * (given.source == "pipeline")
    if isinstance(given.weight, Constant) and abs(mix.effective(dataset, *term) - given.weight.value) > 1e-9:
        weight += f" -> {mix.effective(dataset, *term):.3g}"  # because of its images' own weights or the normalisation
    background = _background(mix, dataset, term)
    weight += "" if background is None else f", background {background}"
    return f"{weight} ({mix.shares(*term)[dataset]:.1%})" if mix.is_known else weight


def _background(mix: Mix, dataset: str, term: Term) -> Weight | None:
    """The weight of the background, where it differs from that of the objects."""
    given, background = mix.given(dataset, *term), mix.given(dataset, *term, background=True)
    return background.weight if mix.book.has_background(*term) and background.weight != given.weight else None


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _objects(dataset: DataSet) -> str:
    """The number of objects; where some have weights of their own, how many, and the mean weight of all objects."""
    weighted, mean = dataset.weighted_objects
    return _count(dataset.objects) + (f" ({weighted:,} weighted, mean {mean:.3g})" if weighted else "")


def plain(table: Table) -> str:
    """Returns the table as plain text, for a log."""
    text = io.StringIO()
    table.box = ASCII
    Console(file=text, width=1000, color_system=None, force_terminal=False).print(table, soft_wrap=True)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def records(mix: Mix) -> list[dict[str, Any]]:
    """Returns a record for each data set and loss, with the weight and the share at the start of the training."""
    return [
        {
            "dataset": name,
            "head": head,
            "loss": loss,
            "weight": mix.weight(name, head, loss, START),
            "effective_weight": mix.effective(name, head, loss, START),
            "schedule": None if isinstance(given.weight, Constant) else given.weight.as_given(),
            "background": mix.weight(name, head, loss, START, background=True) if _background(mix, name, (head, loss)) else None,
            "source": given.source,
            "share": mix.shares(head, loss)[name],
        }
        for name in mix.datasets
        for head, loss in mix.terms
        for given in [mix.given(name, head, loss)]
    ]

"""The tables that the demo prints."""

from rich.console import Console
from rich.table import Table

from headweights.demo.data import DemoDataSet
from headweights.demo.losses import LAST, HeadLoss
from headweights.demo.precision import ALL
from headweights.demo.training import Trained


def show_data(console: Console, data_sets: list[DemoDataSet]) -> None:
    """Prints the use, origin and size of each data set."""
    table = _table("The data sets", "data set", "used for", "from", "images:", "boxes:")
    for data in data_sets:
        table.add_row(data.name, data.use, data.origin, str(data.images), str(data.boxes))
    console.print(table)


def show_losses(console: Console, losses: list[HeadLoss], run: str) -> None:
    """Prints the weight, the raw and the weighted loss of each data set in each head."""
    table = _table(f"Weights and losses of the {run} model", "data set", "head", "weight:", "raw loss:", "weighted loss:")
    table.caption = f"classification plus boxes; mean over the last {LAST} measured batches"
    for row in losses:
        table.add_row(row.dataset, row.head, f"{row.weight:g}", f"{row.raw:.4f}", f"{row.weighted:.4f}")
    console.print(table)


def show_runs(console: Console, runs: list[Trained]) -> None:
    """Prints the average precision of the runs on the held-out tiles, side by side, and the paths of their files."""
    names = [run.name for run in runs]
    table = _table("On the held-out tiles", "place", *(f"{metric} {name}:" for metric in ("mAP", "AP50") for name in names))
    for place in runs[0].precision:
        if place == ALL:
            table.add_section()
        precisions = [run.precision[place] for run in runs]
        numbers = [precision.ap for precision in precisions] + [precision.ap50 for precision in precisions]
        table.add_row(place, *(f"{number:.3f}" for number in numbers))
    console.print(table)
    for run in runs:
        console.print(f"[bold]{run.name}[/] ({run.seconds:.0f} s)", highlight=False)
        for kind, path in (("config", run.config), ("log", run.log), ("checkpoint", run.checkpoint)):
            # soft_wrap keeps a path in one piece, so that it can be copied.
            console.print(f"  {kind:<10} {path}", soft_wrap=True, highlight=False, markup=False)


def _table(title: str, *headers: str) -> Table:
    """A table with a title. A header that ends in a colon makes a right-aligned column of numbers."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for header in headers:
        table.add_column(header.rstrip(":"), justify="right" if header.endswith(":") else "left")
    return table

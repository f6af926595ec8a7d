"""What the demo shows at its end."""

from rich.console import Console
from rich.table import Table

from headweights.demo.data import DataSet
from headweights.demo.losses import LAST, HeadLoss
from headweights.demo.precision import ALL
from headweights.demo.training import Trained


def show_data(console: Console, data_sets: list[DataSet]) -> None:
    """Prints what each data set holds and where it is from."""
    table = _table("The data sets", "data set", "used for", "from", "images:", "boxes:")
    for data in data_sets:
        table.add_row(data.name, data.use, data.origin, str(data.images), str(data.boxes))
    console.print(table)


def show_losses(console: Console, losses: list[HeadLoss], run: str) -> None:
    """Prints the weight, the raw and the weighted loss of each data set in each head."""
    table = _table(f"Weights and losses of the {run} model", "data set", "head", "weight:", "raw loss:", "weighted loss:")
    table.caption = f"classification and boxes; the mean over the last {LAST} measurements of a batch"
    for row in losses:
        table.add_row(row.dataset, row.head, f"{row.weight:g}", f"{row.raw:.4f}", f"{row.weighted:.4f}")
    console.print(table)


def show_runs(console: Console, runs: list[Trained]) -> None:
    """Prints the average precision of the runs on the held-out tiles, side by side, and where their files are."""
    names = [run.name for run in runs]
    table = _table("On the held-out tiles", "place", *(f"{metric} {name}:" for metric in ("mAP", "AP50") for name in names))
    for place in runs[0].precision:
        if place == ALL:
            table.add_section()
        found = [run.precision[place] for run in runs]
        numbers = [precision.ap for precision in found] + [precision.ap50 for precision in found]
        table.add_row(place, *(f"{number:.3f}" for number in numbers))
    console.print(table)
    for run in runs:
        console.print(f"[bold]{run.name}[/] ({run.seconds:.0f} s)", highlight=False)
        for kind, path in (("config", run.config), ("log", run.log), ("checkpoint", run.checkpoint)):
            # Whole, so that it can be copied: a path is not broken where a line ends.
            console.print(f"  {kind:<10} {path}", soft_wrap=True, highlight=False, markup=False)


def _table(title: str, *headers: str) -> Table:
    """A table with a title; a header that ends in a colon heads a column of numbers."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for header in headers:
        table.add_column(header.rstrip(":"), justify="right" if header.endswith(":") else "left")
    return table

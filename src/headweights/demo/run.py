"""Runs the whole demo in its work directory, and prints the results."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from headweights.demo.data import DemoDataSet
    from headweights.demo.training import Trained

# The files and folders in a work directory. `screen.log` has what mmengine and COCO's evaluation would have printed.
DATA, SCREEN_LOG, REPORT = "data", "screen.log", "report.html"
RUNS = ("unweighted", "weighted")
# Written first, so that a stopped run can be recognised and replaced.
MARK = "made-by-headweights-demo.txt"


def run_demo(console: Console, *, iters: int, seed: int, work_dir: Path) -> None:
    """Trains the tree crown detector without and with weights, and prints the results.

    Args:
        console: Where to print. All other output goes to `work_dir`/screen.log.
        iters: Number of training iterations of each of the two runs.
        seed: Seed of the data and of both runs.
        work_dir: Folder for data, configs, logs and checkpoints. An earlier run in it is replaced.

    Raises:
        FileExistsError: `work_dir` is a file, or contains files but no earlier run.
        FileNotFoundError: The photographs or the configs are not installed.
    """
    # Set before torch is loaded: waiting threads then sleep instead of spinning on cores that another process may need. An
    # iteration takes 0.30 s instead of 0.23 s on two idle cores, but 0.4 s instead of 4 s beside a busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    work_dir = work_dir.absolute()
    if claim(work_dir):
        console.print(f"Replacing the earlier run in {work_dir}.", soft_wrap=True, highlight=False)
    with (
        open(work_dir / SCREEN_LOG, "w", encoding="utf-8") as screen_log,
        contextlib.redirect_stdout(screen_log),
        contextlib.redirect_stderr(screen_log),
    ):
        _run(console, iters, seed, work_dir)


def claim(work_dir: Path) -> bool:
    """Prepares `work_dir`, and creates it if needed. Removes an earlier run, but no files that a user has put beside it.

    Returns:
        Whether there was an earlier run.

    Raises:
        FileExistsError: `work_dir` is a file, or contains files but no earlier run. Nothing was changed.
    """
    if work_dir.exists() and not work_dir.is_dir():
        raise FileExistsError(f"{work_dir} is a file; name a folder")
    mark = work_dir / MARK
    earlier = mark.exists()
    if not earlier and work_dir.is_dir() and any(work_dir.iterdir()):
        raise FileExistsError(f"{work_dir} contains files that no demo has made; name another folder")
    work_dir.mkdir(parents=True, exist_ok=True)
    mark.write_text("headweights demo made this folder. It replaces its own files here.\n", encoding="utf-8")
    for part in (work_dir / name for name in (DATA, SCREEN_LOG, REPORT, *RUNS)):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    return earlier


def _run(console: Console, iters: int, seed: int, work_dir: Path) -> None:
    with console.status("making the data sets and loading mmdetection"):
        # Imported here because torch and mmdetection take seconds to load, and the user sees the status meanwhile.
        from headweights.demo.config import HOOK, UNWEIGHTED, load_config, measuring
        from headweights.demo.data import make_data
        from headweights.demo.training import progress_bar, train
        from headweights.report.page import write_report

        data_sets = make_data(work_dir / DATA, seed)
    show_data(console, data_sets)
    runs = []
    with progress_bar(console) as progress:
        for name, config_name in zip(RUNS, (UNWEIGHTED, HOOK), strict=True):
            config = load_config(config_name, data=work_dir / DATA, work_dir=work_dir / name, iters=iters, seed=seed)
            runs.append(train(measuring(config), progress))
    show_runs(console, runs)
    with console.status("writing the report"):
        report = write_report([work_dir / name for name in RUNS], work_dir / REPORT)
    console.print(f"[bold]report[/] {report}", soft_wrap=True, highlight=False)


def show_data(console: Console, data_sets: list[DemoDataSet]) -> None:
    """Prints the use, origin and size of each data set."""
    table = _table("The data sets", "data set", "used for", "from", "images:", "boxes:")
    for data in data_sets:
        table.add_row(data.name, data.use, data.origin, str(data.images), str(data.boxes))
    console.print(table)


def show_runs(console: Console, runs: list[Trained]) -> None:
    """Prints the average precision of the runs on the held-out tiles, and the paths of their files."""
    table = _table("On the held-out tiles", "run", "mAP:", "AP50:")
    for run in runs:
        # Without any detection, COCO's evaluation returns no metric.
        table.add_row(run.name, *(f"{run.metrics.get(f'coco/bbox_{name}', 0.0):.3f}" for name in ("mAP", "mAP_50")))
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

"""Runs a whole demo in its work directory, and prints the results."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.syntax import Syntax
from rich.table import Table

from headweights.demo.config import config_path
from headweights.demo.demos import Demo
from headweights.demo.job import Job, Trained
from headweights.demo.processes import follow, started
from headweights.demo.scenes import DataSet

# The files and folders in a work directory.
DATA, PRETRAINING, PICTURE, REPORT = "data", "pretraining", "picture.jpg", "report.html"
RUNS = ("unweighted", "weighted")
# In the data folder, where the configs look for it.
PRETRAINED = "pretrained.pth"
# Written first, so that a stopped run can be recognised and replaced.
MARK = "made-by-headweights-demo.txt"


def run_demo(console: Console, demo: Demo, *, iters: int | None = None, seed: int, work_dir: Path) -> None:
    """Trains a detector without and with weights, side by side, and prints the results.

    Args:
        console: Where to print. The output of the trainings goes to screen.log in their folders.
        demo: What to train.
        iters: Number of training iterations of each of the two runs. None: as many as the demo says.
        seed: Seed of the data and of all trainings.
        work_dir: Folder for data, configs, logs, checkpoints and results. An earlier run in it is replaced.

    Raises:
        FileExistsError: `work_dir` is a file, or contains files but no earlier run.
        FileNotFoundError: The photographs or the configs are not installed.
        TrainingError: A training failed.
    """
    work_dir = work_dir.absolute()
    if claim(work_dir):
        console.print(f"Replacing the earlier run in {work_dir}.", soft_wrap=True, highlight=False)

    def job(config: str, name: str, length: int = 1, target: str | None = None) -> Job:
        iterations = length * (iters or demo.iterations)
        return Job(config_path(demo.configs, config), work_dir / DATA, work_dir / name, iterations, seed, target)

    pretrainings = [job(demo.pretraining, PRETRAINING, demo.pretraining_length)] if demo.pretraining else []
    runs = [job(demo.unweighted, RUNS[0], target=demo.target), job(demo.weighted, RUNS[1], target=demo.target)]
    with contextlib.ExitStack() as processes:
        # Processes load mmdetection while there is something else to do.
        first = [processes.enter_context(started(one)) for one in pretrainings]
        with console.status("making the data sets"):
            data_sets = demo.make_data(work_dir / DATA, seed)
        show_data(console, data_sets)
        show_weights(console, runs[1].config)
        then = [processes.enter_context(started(one)) for one in runs]
        with _progress_bar(console) as progress:
            for pretrained in follow(first, progress):
                pretrained.checkpoint.replace(work_dir / DATA / PRETRAINED)
            results = follow(then, progress)
    show_results(console, results)
    console.print(f"\n{demo.finding}\n", highlight=False)
    show_files(console, results)
    with console.status("drawing the picture and writing the report"):
        from headweights.demo.picture import write_picture
        from headweights.report.page import write_report

        folders = [work_dir / name for name in RUNS]
        written = {"picture": write_picture(data_sets, folders, work_dir / PICTURE)}
        written["report"] = write_report(folders, work_dir / REPORT)
    for kind, path in written.items():
        console.print(f"[bold]{kind:<12}[/] {path}", soft_wrap=True, highlight=False)


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
    for part in (work_dir / name for name in (DATA, PRETRAINING, PICTURE, REPORT, *RUNS)):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    return earlier


def show_data(console: Console, data_sets: Sequence[DataSet]) -> None:
    """Prints the use, content and size of each data set."""
    table = _table("The data sets", "data set", "used for", "what is in it", "images:", "boxes:")
    for data in data_sets:
        table.add_row(data.folder.name, data.use, data.content, str(data.images), str(data.boxes))
    console.print(table)


def show_weights(console: Console, config: Path) -> None:
    """Prints the block with the weights, as it stands in the config."""
    text = config.read_text(encoding="utf-8")
    console.print("\n[bold italic]The weights: one block in the config[/]")
    console.print(Syntax(text[text.index("custom_hooks = ") :].rstrip(), "python", theme="ansi_dark", background_color="default"))
    console.print()


def show_results(console: Console, runs: Sequence[Trained]) -> None:
    """Prints the average precision of the runs on the held-out images, also by class if there are several."""
    table = _table("On the held-out images", "", *(f"{run.name}:" for run in runs))
    # Without any detection, COCO's evaluation returns no metric.
    for title, metric in (("mAP", "mAP"), ("AP50", "mAP_50")):
        table.add_row(title, *(f"{run.metrics.get(f'coco/bbox_{metric}', 0.0):.3f}" for run in runs))
    suffix = "_precision"
    classes = [name for name in runs[0].metrics if name.endswith(suffix)]
    if classes:
        table.add_section()
    for name in classes:
        title = name.removeprefix("coco/").removesuffix(suffix)
        table.add_row(f"AP of {title}", *(f"{run.metrics.get(name, 0.0):.3f}" for run in runs))
    console.print(table)


def show_files(console: Console, runs: Sequence[Trained]) -> None:
    """Prints the time that the runs took, and the paths of their files."""
    for run in runs:
        console.print(f"[bold]{run.name}[/] ({run.seconds:.0f} s)", highlight=False)
        for kind, path in (("config", run.config), ("log", run.log), ("checkpoint", run.checkpoint)):
            # soft_wrap keeps a path in one piece, so that it can be copied.
            console.print(f"  {kind:<10} {path}", soft_wrap=True, highlight=False, markup=False)


def _table(title: str, *headers: str) -> Table:
    """A table with a title. A header that ends in a colon makes a right-aligned column of numbers."""
    table = Table(title=title, title_justify="left", title_style="bold italic")
    for header in headers:
        table.add_column(header.rstrip(":"), justify="right" if header.endswith(":") else "left")
    return table


def _progress_bar(console: Console) -> Progress:
    """A bar with the loss, the elapsed and the remaining time."""
    return Progress(
        TextColumn("{task.description:>18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )

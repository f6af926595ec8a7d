"""Runs the whole demo."""

import contextlib
import os
from pathlib import Path

from rich.console import Console

from headweights.demo.work_dir import claim

# The files and folders in a work directory. `screen.log` has what mmengine and COCO's evaluation would have printed.
DATA, SCREEN_LOG, REPORT = "data", "screen.log", "report.html"
RUNS = ("unweighted", "weighted")


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
    if claim(work_dir, (DATA, SCREEN_LOG, REPORT, *RUNS)):
        console.print(f"Replacing the earlier run in {work_dir}.", soft_wrap=True, highlight=False)
    with (
        open(work_dir / SCREEN_LOG, "w", encoding="utf-8") as screen_log,
        contextlib.redirect_stdout(screen_log),
        contextlib.redirect_stderr(screen_log),
    ):
        _run(console, iters, seed, work_dir)


def _run(console: Console, iters: int, seed: int, work_dir: Path) -> None:
    with console.status("making the data sets and loading mmdetection"):
        # Imported here because torch and mmdetection take seconds to load, and the user sees the status meanwhile.
        from headweights.demo.config import HOOK, UNWEIGHTED, load_config, measuring
        from headweights.demo.data import make_data
        from headweights.demo.losses import losses_by_head
        from headweights.demo.progress import ProgressHook, progress_bar
        from headweights.demo.tables import show_data, show_losses, show_runs
        from headweights.demo.training import train
        from headweights.report.page import write_report

        data_sets = make_data(work_dir / DATA, seed)
    show_data(console, data_sets)
    runs = []
    with progress_bar(console) as progress:
        for name, config_name in zip(RUNS, (UNWEIGHTED, HOOK), strict=True):
            config = load_config(config_name, data=work_dir / DATA, work_dir=work_dir / name, iters=iters, seed=seed)
            runs.append(train(measuring(config), ProgressHook(progress, name)))
    weighted = runs[-1]
    show_losses(console, losses_by_head(weighted.scalars), weighted.name)
    show_runs(console, runs)
    with console.status("writing the report"):
        report = write_report([work_dir / name for name in RUNS], work_dir / REPORT)
    console.print(f"[bold]report[/] {report}", soft_wrap=True, highlight=False)

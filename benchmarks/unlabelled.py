"""Measures what `labelled` and `.background` gain where not everything is annotated: the study of docs/unlabelled.md.

    .venv/bin/python benchmarks/unlabelled.py [--out FOLDER] [--seeds N] [--long-seeds N] [--workers N]

Trains every arm at two lengths, first each arm with the first seed, then with the second, and so on, and writes the tables to
FOLDER/unlabelled.md. The same command resumes a stopped study. --publish also updates docs/unlabelled.md; --no-train only uses
existing results. A table has the seeds that all its arms have.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

# Set before numpy and torch are loaded: one core per run.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
sys.path.insert(0, str(Path(__file__).parent))

import typer
from mixtures.page import put
from mixtures.run import result_of
from mixtures.settings import UNLABELLED
from mixtures.training import make_data, train_all
from mixtures.unlabelled import LENGTHS, plans
from mixtures.unlabelled_page import parts, read
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]


def study(
    out: Annotated[Path, typer.Option(help="Folder for data, runs and results.")] = Path("work_dirs/unlabelled"),
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of every arm at the short length.")] = 5,
    long_seeds: Annotated[int, typer.Option(min=2, help="Seeds of every arm at four times this length.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = os.cpu_count() or 1,
    training: Annotated[bool, typer.Option("--train/--no-train", help="Whether to start runs without a result.")] = True,
    publish: Annotated[bool, typer.Option("--publish", help="Update docs/unlabelled.md with the results.")] = False,
) -> None:
    """Train all arms with all seeds, and write the results."""
    console = Console()
    out = out.absolute()
    if training:
        make_data(UNLABELLED, out / "data", range(max(seeds, long_seeds)), console)
        # A study that is stopped has the same seeds of all arms, except for the one in progress.
        first = min(seeds, long_seeds)
        order = [("short", range(first)), ("long", range(long_seeds)), ("short", range(first, seeds))]
        train_all([plan for length, some in order for seed in some for plan in plans(length, [seed])], out, workers, console)
    show(results(out, max(seeds, long_seeds)), out, publish, console)


def results(out: Path, seeds: int) -> list[dict[str, Any]]:
    """The results of all finished runs, with the folders of their arms."""
    asked = [(plan, *run) for length in LENGTHS for plan in plans(length, range(seeds)) for run in next(plan.steps())]
    found = [(plan, result_of(run, out / place)) for plan, place, run in asked]
    return [{"arm": str(plan.folder), **result} for plan, result in found if result is not None]


def show(rows: list[dict[str, Any]], out: Path, publish: bool, console: Console) -> None:
    """Writes the results and their tables."""
    made = parts(read(rows))
    text = "\n\n".join(f"## {name}\n\n{part}" for name, part in made.items())
    (out / "unlabelled.md").write_text(text + "\n", encoding="utf-8")
    console.print(f"{out / 'unlabelled.md'}", soft_wrap=True, highlight=False)
    if publish:
        (ROOT / "docs/unlabelled.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
        put(ROOT / "docs/unlabelled.md", made)


if __name__ == "__main__":
    typer.run(study)

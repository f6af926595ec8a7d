"""Measures the gain from weights by head on mixed data, compared with other methods: the study of docs/study.md.

    .venv/bin/python benchmarks/study.py [--out FOLDER] [--seeds N] [--workers N]

Trains every arm of every setting with every seed, one run per core, and writes tables and figures of the results to
FOLDER/study.md. The folder of each run has its config, log and result, so the same command resumes a stopped study. --publish
also updates docs/study.md; --no-train only uses existing results.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

# Set before numpy and torch are loaded: one core per run.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
sys.path.insert(0, str(Path(__file__).parent))

import typer
from mixtures.arms import TRIAL_SEED, Plan, plans
from mixtures.figures import draw
from mixtures.page import figures, parts, put
from mixtures.settings import SETTINGS
from mixtures.statistics import outcomes
from mixtures.training import make_data, train_all
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]


def study(
    out: Annotated[Path, typer.Option(help="Folder for data, runs and results.")] = Path("work_dirs/study"),
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of every arm.")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = os.cpu_count() or 1,
    training: Annotated[bool, typer.Option("--train/--no-train", help="Whether to start runs without a result.")] = True,
    publish: Annotated[bool, typer.Option("--publish", help="Update docs/study.md with the results.")] = False,
) -> None:
    """Train all arms with all seeds, and write the results."""
    console = Console()
    out = out.absolute()
    arms = plans(seeds)
    if training:
        make_data(SETTINGS, out / "data", [*range(seeds), TRIAL_SEED], console)
        train_all(arms, out, workers, console)
    show(arms, out, seeds, publish, console)


def show(arms: list[Plan], out: Path, seeds: int, publish: bool, console: Console) -> None:
    """Writes the tables and figures of the finished arms."""
    found = outcomes(arms, out, seeds)
    if not found:
        console.print(f"{out} has no finished arm yet.", soft_wrap=True, highlight=False)
        raise typer.Exit(1)
    unfinished = [str(arm.folder) for arm in arms if arm not in [outcome.plan for outcome in found]]
    if unfinished:
        console.print(f"Unfinished arms are left out: {', '.join(unfinished)}.", highlight=False)
    made = parts(found)
    text = "\n\n".join(f"## {name}\n\n{part}" for name, part in made.items())
    (out / "study.md").write_text(text + "\n", encoding="utf-8")
    console.print(f"{out / 'study.md'}", soft_wrap=True, highlight=False)
    problem = draw(figures(found), out / "pictures")
    if problem:
        console.print(problem)
    results = [{"arm": str(o.plan.folder), **run} for o in found for run in o.runs.values()]
    (out / "study.json").write_text("[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n", encoding="utf-8")
    if publish:
        put(ROOT / "docs/study.md", made)
        for made_file in [out / "study.json", *(out / "pictures").glob("*.svg")]:
            shutil.copy(made_file, ROOT / "docs" / made_file.name)


if __name__ == "__main__":
    typer.run(study)

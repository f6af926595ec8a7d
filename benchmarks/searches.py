"""Compares searches for weights: a screening, TPE and random draws, with few trainings each: "Which search" in docs/study.md.

    .venv/bin/python benchmarks/searches.py [--out FOLDER] [--seeds N] [--workers N]

It shares the folder of benchmarks/study.py, whose arms it is compared with, and is resumed in the same way. --publish also
updates docs/study.md; --no-train only uses existing results.
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
from mixtures.arms import TRIAL_SEED, plans
from mixtures.page import put
from mixtures.searches import SWEEPS, search_plans
from mixtures.searches_page import repeats_of, search_parts
from mixtures.settings import SETTINGS
from mixtures.statistics import outcomes
from mixtures.training import make_data, train_all
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]


def searches(
    out: Annotated[Path, typer.Option(help="Folder for data, runs and results.")] = Path("work_dirs/study"),
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of every arm.")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = os.cpu_count() or 1,
    training: Annotated[bool, typer.Option("--train/--no-train", help="Whether to start runs without a result.")] = True,
    publish: Annotated[bool, typer.Option("--publish", help="Update docs/study.md with the results.")] = False,
) -> None:
    """Train all searches, and write the results."""
    console = Console()
    out = out.absolute()
    arms = search_plans(seeds)
    if training:
        settings = {name: SETTINGS[name] for name in {arm.setting for arm in arms}}
        make_data(settings, out / "data", [*range(seeds), *(TRIAL_SEED + sweep for sweep in range(SWEEPS))], console)
        train_all(arms, out, workers, console)
    found = repeats_of(arms, out)
    made = search_parts(found, outcomes(plans(seeds), out, seeds), SWEEPS)
    (out / "searches.md").write_text("\n\n".join(made.values()) + "\n", encoding="utf-8")
    console.print(f"{out / 'searches.md'}", soft_wrap=True, highlight=False)
    results = [
        {"arm": str(repeat.plan.folder), "trials": [trial["mAP"] for trial in repeat.trials], **test}
        for repeat in found
        for test in repeat.tested
    ]
    (out / "searches.json").write_text("[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n", encoding="utf-8")
    if publish:
        put(ROOT / "docs/study.md", made)
        shutil.copy(out / "searches.json", ROOT / "docs/searches.json")


if __name__ == "__main__":
    typer.run(searches)

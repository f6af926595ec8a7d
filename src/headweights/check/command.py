"""The command ``headweights check``."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from headweights.check.quiet import quiet

# What the check imports, besides what comes with headweights.
NEEDED = ("mmengine", "mmcv", "mmdet")


def check(
    config: Annotated[Path, typer.Argument(help="A training config of mmdetection.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the table and the problems as JSON.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Print the corrected block of the LossWeightHook.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 for advice too.")] = False,
) -> None:
    """Show a config's loss weights and every problem with them, before any training.

    Builds the model and opens the annotations. Trains nothing, needs no GPU and starts no workers. Exits with 2 if something
    stops the training, and with 0 if there is nothing or only advice.
    """
    for module in NEEDED:
        if find_spec(module) is None:
            install = 'pip install --no-build-isolation "headweights[mmdet]"'
            typer.echo(f"headweights check: the check needs {module}: {install}", err=True)
            raise typer.Exit(1)
    try:
        with quiet():
            from headweights.check.run import checked, fixed
            from headweights.mixture.table import records, table_of

            result = checked(config)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        raise typer.Exit(130) from None
    corrected = fixed(result) if fix else None
    stops = any(problem.stops for problem in result.problems)
    if as_json:
        output: dict[str, Any] = {
            "ok": not result.problems,
            "stops": stops,
            "problems": [vars(problem) for problem in result.problems],
            "datasets": [
                {
                    **{name: getattr(dataset, name) for name in ("name", "images", "objects", "drawn", "classes", "labelled")},
                    "weighted_objects": dataset.weighted_objects[0],
                    "mean_object_weight": dataset.weighted_objects[1],
                }
                for dataset in (result.mix.datasets.values() if result.mix else ())
            ],
            "table": records(result.mix) if result.mix else [],
        }
        typer.echo(json.dumps({**output, "fix": corrected} if fix else output, indent=2))
    else:
        console = Console()
        if result.mix:
            console.print(table_of(result.mix))
        for note in result.notes:
            console.print(note, markup=False)
        for number, problem in enumerate(result.problems, 1):
            severity = "stops the training" if problem.stops else "think again"
            console.print(f"{number}. [{severity}] {problem.message}", markup=False, soft_wrap=True, highlight=False)
        if not result.problems:
            console.print("No problem found.")
        if corrected is not None:
            console.print("\nThe corrected block:\n")
            typer.echo(corrected)
    raise typer.Exit(2 if stops or (strict and result.problems) else 0)

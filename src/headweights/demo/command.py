"""The command `headweights demo`."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

# The packages that the demo imports or reads, and the commands that install them.
NEEDED = {
    **dict.fromkeys(("mmengine", "mmcv", "mmdet"), 'pip install --no-build-isolation "headweights[mmdet]"'),
    "deepforest": "pip install deepforest --no-deps",
}


def demo(
    iters: Annotated[int, typer.Option(min=1, help="Training iterations of each of the two runs.")] = 450,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the data and of both runs.")] = 0,
    work_dir: Annotated[Path, typer.Option(help="Folder for data, configurations, logs and checkpoints.")] = Path(
        "work_dirs/demo"
    ),
) -> None:
    """Train a detector of tree crowns on real and rendered images, without and with weights, and compare."""
    for module, command in NEEDED.items():
        if find_spec(module) is None:
            _stop(f"the demo needs {module}: {command}")
    from headweights.demo.run import run_demo

    # The demo redirects sys.stdout; a console with an explicit file still prints to the terminal.
    console = Console(file=sys.stdout)
    try:
        run_demo(console, iters=iters, seed=seed, work_dir=work_dir)
    except KeyboardInterrupt:
        console.print("Stopped.")
        raise typer.Exit(130) from None
    except OSError as error:
        _stop(str(error))


def _stop(message: str) -> NoReturn:
    typer.echo(f"headweights demo: {message}", err=True)
    raise typer.Exit(1)

"""The command `headweights demo`."""

from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from headweights.demo.demos import DEMOS


class Mix(str, Enum):
    """The names of the demos."""

    DIGITS = "digits"
    CROWNS = "crowns"


# The packages that a demo imports or reads, and the commands that install them.
FRAMEWORK = dict.fromkeys(("mmengine", "mmcv", "mmdet"), 'pip install --no-build-isolation "headweights[mmdet]"')
NEEDED = {
    Mix.DIGITS: {**FRAMEWORK, "sklearn": "pip install scikit-learn"},
    Mix.CROWNS: {**FRAMEWORK, "deepforest": "pip install deepforest --no-deps"},
}
# For the help.
ITERATIONS = ", ".join(f"{one.iterations} for {name}" for name, one in DEMOS.items())


def demo(
    mix: Annotated[
        Mix, typer.Argument(help="digits: handwritten digits in scenes, with wrong labels and wrong boxes. crowns: tree crowns.")
    ] = Mix.DIGITS,
    iters: Annotated[int | None, typer.Option(min=1, help=f"Training iterations of each run; default {ITERATIONS}.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the data and of all trainings.")] = 0,
    work_dir: Annotated[Path | None, typer.Option(help="Folder for all files; default work_dirs/demo/<mix>.")] = None,
) -> None:
    """Train a small detector on a mix of data sets, without and with weights, and compare."""
    for module, command in NEEDED[mix].items():
        if find_spec(module) is None:
            _stop(f"the demo needs {module}: {command}")
    from headweights.demo.processes import TrainingError
    from headweights.demo.run import run_demo

    console = Console()
    try:
        run_demo(console, DEMOS[mix.value], iters=iters, seed=seed, work_dir=work_dir or Path("work_dirs/demo") / mix.value)
    except KeyboardInterrupt:
        console.print("Stopped.")
        raise typer.Exit(130) from None
    except TrainingError as error:
        _stop(str(error))
    except OSError as error:
        by_the_system = error.errno is not None
        _stop(f"{error}{'. Is the disk full or read-only? Name another folder: --work-dir FOLDER.' if by_the_system else ''}")


def _stop(message: str) -> NoReturn:
    typer.echo(f"headweights demo: {message}", err=True)
    raise typer.Exit(1)

"""`headweights tune`: what the command line adds to the search."""

import contextlib
import io
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from headweights.errors import WeightError

# What the search imports, and what a user types to get it. The extra would put the forks over another mmdetection.
NEEDED = {
    "mmengine": 'pip install --no-build-isolation "headweights[tune]"',
    "mmcv": 'pip install --no-build-isolation "headweights[tune]"',
    "mmdet": 'pip install --no-build-isolation "headweights[tune]"',
    "optuna": "pip install optuna plotly",
    "plotly": "pip install optuna plotly",
}


def tune(
    config: Annotated[Path, typer.Argument(help="A training config of mmdetection that validates.", show_default=False)],
    target: Annotated[
        str | None, typer.Option(help="The data set that the detector is for; it weighs 1. The hook's target by default.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A head or loss to weigh, such as roi_head or roi_head.bbox_head.loss_cls. Again for more. "
            "All outermost heads by default.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trainings in all, those of earlier runs of the study included.")] = 30,
    workers: Annotated[int, typer.Option(min=1, help="Trainings at a time, each in a process of its own.")] = 1,
    low: Annotated[float, typer.Option(help="The smallest weight.")] = 0.03,
    high: Annotated[float, typer.Option(help="The largest weight.")] = 3.0,
    metric: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="What is compared, such as coco/bbox_mAP. The config's save_best, or the first known."),
    ] = None,
    prune: Annotated[bool, typer.Option(help="Give up trainings that are worse than the median of those before.")] = True,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where Optuna keeps the study: sqlite:///file, postgresql://..., grpc://host:port. WORK_DIR/tune.db by default.",
        ),
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="The study's name; the config's by default.")] = None,
    work_dir: Annotated[
        Path | None, typer.Option(help="Folder for the trainings and the result; work_dirs/tune/<study> by default.")
    ] = None,
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep all trainings' checkpoints, not the best one's only.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the search, and of trainings whose config has none.")
    ] = 0,
    cfg_options: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Set in the config for the search, as in mmdetection's tools. Again for more."),
    ] = None,
) -> None:
    """Search the weights of data sets in heads for a config of your own, with Optuna.

    Run again, it goes on where it was. The same command elsewhere, on the same storage, joins in.
    """
    for module, command in NEEDED.items():
        if find_spec(module) is None:
            _stop(f"the search needs {module}: {command}", 1)
    # Before torch is loaded: threads that wait for each other sleep, beside a busy process too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The file is named because stdout is redirected while this console goes on printing.
    console = Console(file=sys.stdout)
    try:
        with console.status("loading mmdetection and Optuna"), contextlib.redirect_stdout(io.StringIO()):
            from headweights.tune.run import tune as run
        run(
            console,
            config,
            target=target,
            heads=head or (),
            trials=trials,
            workers=workers,
            low=low,
            high=high,
            metric=metric,
            prune=prune,
            storage=storage,
            study=study,
            work_dir=work_dir,
            keep_checkpoints=keep_checkpoints,
            seed=seed,
            options=cfg_options or (),
        )
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        raise typer.Exit(130) from None
    except WeightError as error:
        _stop(str(error), 2)
    except OSError as error:
        _stop(str(error), 1)


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(f"headweights tune: {message}", err=True)
    raise typer.Exit(code)

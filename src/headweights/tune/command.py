"""The command `headweights tune`."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from headweights.check.quiet import quiet
from headweights.errors import WeightError

# The packages that the search imports, and the commands that install them. The extra would replace upstream's mmdetection.
_ALONE = "pip install optuna plotly pyDOE3 scipy"
NEEDED = {
    **dict.fromkeys(("mmengine", "mmcv", "mmdet"), 'pip install --no-build-isolation "headweights[tune]"'),
    **dict.fromkeys(("optuna", "plotly", "pyDOE3", "scipy"), _ALONE),
}


def tune(
    config: Annotated[Path, typer.Argument(help="A training config of mmdetection with validation.", show_default=False)],
    target: Annotated[
        str | None, typer.Option(help="The data set that the detector is for; its weight is 1. Default: the hook's target.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A head or loss to weigh, such as roi_head or roi_head.bbox_head.loss_cls. Repeat for more. "
            "Default: all outermost heads.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Total number of trainings, including earlier runs of the study.")] = 30,
    workers: Annotated[int, typer.Option(min=1, help="Number of trainings at a time, each in its own process.")] = 1,
    low: Annotated[float, typer.Option(help="The low level of a weight in the screening.")] = 0.1,
    high: Annotated[float, typer.Option(help="The high level of a weight in the screening.")] = 1.0,
    screening: Annotated[
        bool,
        typer.Option(
            "--screening/--no-screening", help="Begin with a screening, and search on only through the weights that matter."
        ),
    ] = True,
    runs_more: Annotated[
        bool, typer.Option("--runs-more", help="Double the screening, to separate weights from pairs of weights (a fold-over).")
    ] = False,
    sampling: Annotated[
        bool, typer.Option("--sampling", help="Search, too, how often the images of each data set are drawn.")
    ] = False,
    fraction: Annotated[
        float, typer.Option(metavar="F", help="Length of the screening's trainings, as a fraction of the config's.")
    ] = 1.0,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The metric to compare, such as coco/bbox_mAP. Default: the config's save_best, else the first known metric.",
        ),
    ] = None,
    prune: Annotated[bool, typer.Option(help="Stop trainings early that are worse than the median of earlier ones.")] = True,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where Optuna stores the study: sqlite:///file, postgresql://..., grpc://host:port. Default: WORK_DIR/tune.db.",
        ),
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="The name of the study. Default: the config's.")] = None,
    work_dir: Annotated[
        Path | None, typer.Option(help="Folder for the trainings and the result. Default: work_dirs/tune/<study>.")
    ] = None,
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep the checkpoints of all trainings, not only of the best.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the search, and of the trainings if the config sets none.")
    ] = 0,
    cfg_options: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Override the config for the search, as in mmdetection's tools. Repeat for more."),
    ] = None,
) -> None:
    """Search the weights of data sets in heads for your config, with Optuna.

    Run the same command again to resume, or on another machine with the same storage to share the work.
    """
    for module, command in NEEDED.items():
        if find_spec(module) is None:
            _stop(f"the search needs {module}: {command}", 1)
    # Set before torch is loaded: waiting threads then sleep instead of spinning on cores that another process may need.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The search redirects sys.stdout; a console with an explicit file still prints to the terminal.
    console = Console(file=sys.stdout)
    try:
        with console.status("loading mmdetection and Optuna"), quiet():
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
            screening=screening,
            runs_more=runs_more,
            sampling=sampling,
            fraction=fraction,
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
        console.print("Stopped. Run the same command to resume.")
        raise typer.Exit(130) from None
    except WeightError as error:
        _stop(str(error), 2)
    except OSError as error:
        _stop(str(error), 1)


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(f"headweights tune: {message}", err=True)
    raise typer.Exit(code)

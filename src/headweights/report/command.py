"""The command `headweights report`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from headweights.errors import WeightError

# The packages that the report imports, in addition to the dependencies of headweights.
NEEDED = {"jinja2": "jinja2", "PIL": "pillow", "plotly": "plotly"}


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...", help="Folders of training runs: work_dirs of mmdetection, output_dirs of transformers' Trainer."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The file to write. Default: report.html in the first FOLDER.")] = None,
) -> None:
    """Write an HTML report with the settings and results of one run, or of several side by side."""
    for module, package in NEEDED.items():
        if find_spec(module) is None:
            _stop(f'the report needs {package}: pip install "headweights[report]"', 1)
    from headweights.report.page import DEFAULT_NAME, write_report

    out = folders[0] / DEFAULT_NAME if out is None else out
    try:
        written = write_report(folders, out)
    except KeyboardInterrupt:
        typer.echo("Stopped. No report was written.", err=True)
        raise typer.Exit(130) from None
    except WeightError as error:
        _stop(str(error), 2)
    except OSError as error:
        _stop(f"{out} cannot be written ({error.strerror}). Name a file elsewhere: --out FILE.", 1)
    typer.echo(str(written))


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(f"headweights report: {message}", err=True)
    raise typer.Exit(code)

"""Makes the data of a study and trains its arms, with a progress bar."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mixtures.arms import Plan, pretrainings
from mixtures.schedule import RunError, run_all
from mixtures.settings import PRETRAININGS, Setting


def make_data(settings: Mapping[str, Setting], folder: Path, seeds: Sequence[int], console: Console) -> None:
    """Writes the missing data of settings, by their names, and of the pretrainings."""
    for name, setting in {**settings, **PRETRAININGS}.items():
        made = folder / name
        own = seeds if name in settings else [0]
        for place, seed in [(made / "held_out", None), *((made / f"seed_{seed}", seed) for seed in own)]:
            complete = place / "complete"
            if complete.exists():
                continue
            console.print(f"making {place.relative_to(folder)}", highlight=False)
            if seed is None:
                setting.make_held_out(place)
            else:
                setting.make(place, seed)
            complete.touch()


def train_all(arms: Sequence[Plan], out: Path, workers: int, console: Console) -> None:
    """Starts all runs without a result, those of the pretrainings first."""
    # SIGTERM stops the current runs like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    first = pretrainings()
    bar = Progress(
        TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        console=console,
    )  # fmt: skip
    with bar as progress:
        task = progress.add_task("", total=sum(arm.most for arm in [*first, *arms]))

        def done(folder: Path, result: Mapping[str, Any] | None) -> None:
            progress.advance(task)
            if result is not None:
                name, minutes = folder.relative_to(out), result["seconds"] / 60
                line = f"{name}: mAP {result['mAP']:.3f}, {minutes:.1f} min"
                progress.console.print(line, highlight=False, soft_wrap=True)

        try:
            run_all(first, out, workers, done)
            run_all(arms, out, workers, done)
        except RunError as error:
            console.print(str(error), markup=False, highlight=False)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            console.print("Stopped; the same command goes on from here.")
            raise typer.Exit(130) from None

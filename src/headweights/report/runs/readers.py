"""Reads runs of any framework: finds the reader for a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from headweights.errors import WeightError
from headweights.report.runs.mmengine_run import MMEngineReader
from headweights.report.runs.run import Run, RunReader
from headweights.report.runs.trainer_run import TrainerReader
from headweights.weights.addresses import listed

READERS: tuple[RunReader, ...] = (MMEngineReader(), TrainerReader())


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads runs. Runs with the same name get enough of their paths to be distinct."""
    runs = [read_run(folder) for folder in dict.fromkeys(Path(os.path.abspath(path)) for path in folders)]
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            same = [other.path.parts for other in runs if other.path.name == run.name]
            depth = next(d for d in range(2, 1000) if len({parts[-d:] for parts in same}) == len(same))
            run.name = "/".join(run.path.parts[-depth:])
    return runs


def read_run(folder: Path) -> Run:
    """Reads the run of a folder: mmengine's work_dir, or the output_dir of transformers' Trainer.

    Raises:
        WeightError: It is not a folder, or contains no log.
    """
    try:
        if not folder.exists():
            raise WeightError(f"{folder}: no such folder; name the folder of a training run.")
        if not folder.is_dir():
            raise WeightError(f"{folder} is a file; name the folder of a training run.")
        reader = next((reader for reader in READERS if reader.owns(folder)), None)
        if reader is None:
            raise WeightError(_no_log(folder))
        run = reader.read(folder)
    except OSError as error:
        raise WeightError(f"{folder} could not be read ({error.strerror}).") from error
    if not run.log.entries:
        run.notes.append(
            "the log has no entries by data set and head; its other scalars are shown (was it trained without headweights?)."
        )
    return run


def _no_log(folder: Path) -> str:
    """The error for a folder that is no run; it names the runs inside of it."""
    inside = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and any(reader.owns(path) for reader in READERS)]
    if inside:
        return (
            f"{folder} is no run but contains runs: {listed(inside, 6)}. Name those that you want, such as {folder / inside[-1]}."
        )
    return f"{folder} contains no training log: no {', and no '.join(reader.log for reader in READERS)}."

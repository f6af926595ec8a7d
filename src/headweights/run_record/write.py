"""Writes a run's record."""

from __future__ import annotations

import json
from pathlib import Path

from headweights.run_record.schema import RECORD, VERSION, RunRecord


def write_record(folder: Path, record: RunRecord) -> None:
    """Writes ``headweights.json``.

    Args:
        folder: The folder of the log, ``<work_dir>/<timestamp>/vis_data``. It is created if needed.
        record: The record.
    """
    content = {"version": VERSION, **record.model_dump(by_alias=True, warnings=False)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(content, indent=1, default=str))

"""Writes a run's record and reads it back, even if it is damaged: every invalid part is left out and named in a note."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from headweights.run_record.schema import RECORD, VERSION, DataSetRecord, HeadRecord, RecordPart, RunRecord, Sample, WeightRecord

_P = TypeVar("_P", bound=RecordPart)


def write_record(folder: Path, record: RunRecord) -> None:
    """Writes ``headweights.json`` into the folder of the log, ``<work_dir>/<timestamp>/vis_data``, which is created if needed."""
    content = {"version": VERSION, **record.model_dump(by_alias=True, warnings=False)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(content, indent=1, default=str))


def read_record(path: Path) -> tuple[RunRecord | None, list[str]]:
    """Reads a record: returns it, or None if there is nothing to read, and a note on everything that could not be read."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8", errors="replace"))
    except FileNotFoundError:
        return None, []
    except OSError as error:
        return None, [f"{path.name} could not be read ({error.strerror})."]
    except (ValueError, RecursionError):
        return None, [f"{path.name} is not JSON (cut off?): its data sets, weights and images are unknown."]
    if not isinstance(content, dict):
        return None, [f"{path.name} is not a JSON object: its data sets, weights and images are unknown."]
    notes: list[str] = []
    if content.get("version") != VERSION:
        notes.append(
            f"{path.name} has version {content.get('version')!r:.40}, but this report knows version {VERSION}; "
            "it shows what it understands."
        )
    target, weights, settings = (content.get(key) for key in ("target", "weights", "settings"))
    record = RunRecord(
        target=target if isinstance(target, str) else None,
        datasets=_parts(DataSetRecord, content, "datasets", notes),
        heads=_parts(HeadRecord, content, "heads", notes),
        table=_parts(WeightRecord, content, "table", notes),
        weights=weights if isinstance(weights, dict) else {},
        settings=settings if isinstance(settings, dict) else {},
    )
    return record, notes


def _parts(kind: type[_P], content: dict[str, Any], key: str, notes: list[str]) -> list[_P]:
    """Reads the valid parts of a list. A data set with an invalid sample keeps its other samples."""
    found: list[_P] = []
    given = content.get(key)
    if not isinstance(given, list):
        notes.append(f"{RECORD} has no list {key!r}.")
        return found
    for number, raw in enumerate(given):
        item = raw
        if isinstance(item, dict) and isinstance(item.get("samples"), list):
            item = {**item, "samples": _parts(Sample, item, "samples", notes)}
        try:
            found.append(kind.model_validate(item))
        except (ValidationError, RecursionError) as error:
            wrong = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "nested too deep"}
            place = ".".join(map(str, (key, number, *wrong["loc"])))
            notes.append(f"{RECORD}: {place:.80} is left out: {wrong['msg']}.")
    return found

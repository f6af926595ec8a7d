"""Reads `headweights.json`: the data sets, heads and weights of a run, as the run recorded them before its first iteration.

Read leniently: what is unknown is ignored, what is invalid is left out piece by piece, and a note names it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

RECORD = "headweights.json"
VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Sample(_Part):
    """A picture of a data set, its boxes (left, top, right, bottom in pixels of width x height) and their weights."""

    image: str
    width: FiniteFloat | None = None
    height: FiniteFloat | None = None
    boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]] = []
    labels: list[int] = []
    object_weights: list[FiniteFloat] | None = None
    image_weights: dict[str, FiniteFloat] | None = None


class DataSet(_Part):
    """A data set; `drawn` is its share of the pictures drawn, all data sets' together 1."""

    name: str
    ann_file: str | None = None
    images: int | None = None
    objects: int | None = None
    drawn: FiniteFloat | None = None
    classes: list[str] = []
    samples: list[Sample] = []


class Head(_Part):
    """A head that computes losses; `logs_weighted` says whether the loss it logs includes the weights."""

    path: str
    class_name: str = Field("", alias="class")
    losses: list[str] = []
    logs_weighted: bool | None = None


class Schedule(_Part):
    """How a weight moves: through points (at, weight), `by` epoch or iteration."""

    schedule: str
    points: list[tuple[FiniteFloat, FiniteFloat]] = []
    by: str = ""


class Row(_Part):
    """The weight of a data set in a head, or in one loss of it.

    `effective_weight` is what it comes to with the weights of single pictures and the normalisation.
    """

    dataset: str
    head: str
    loss: str = ""
    weight: FiniteFloat
    effective_weight: FiniteFloat | None = None
    schedule: Schedule | None = None
    source: str = ""
    share: FiniteFloat | None = None


class Record(_Part):
    """What a run recorded. `target` is the data set that the detector is for, where the user named one."""

    target: str | None = None
    datasets: list[DataSet] = []
    heads: list[Head] = []
    table: list[Row] = []


_P = TypeVar("_P", bound=_Part)


def read_record(path: Path) -> tuple[Record | None, list[str]]:
    """Reads a record.

    Returns:
        The record, None where there is nothing to read, and notes on what could not be read.
    """
    try:
        content = json.loads(path.read_bytes().decode("utf-8", errors="replace"))
    except FileNotFoundError:
        return None, []
    except OSError as error:
        return None, [f"{path.name} could not be read ({error.strerror})."]
    except (ValueError, RecursionError):
        return None, [f"{path.name} is not JSON (cut off?): data sets, weights and pictures of it are not known."]
    if not isinstance(content, dict):
        return None, [f"{path.name} is not a JSON object: data sets, weights and pictures of it are not known."]
    notes: list[str] = []
    if content.get("version") != VERSION:
        notes.append(
            f"{path.name} says version {content.get('version')!r:.40}, known is {VERSION}; what is known of it is shown."
        )
    target = content.get("target")
    record = Record(
        target=target if isinstance(target, str) else None,
        datasets=_parts(DataSet, content, "datasets", notes),
        heads=_parts(Head, content, "heads", notes),
        table=_parts(Row, content, "table", notes),
    )
    return record, notes


def _parts(kind: type[_P], content: dict[str, Any], key: str, notes: list[str]) -> list[_P]:
    """The valid ones of a list of parts. Of a data set with an invalid picture the others are kept."""
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

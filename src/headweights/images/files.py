"""Reads weights by image from CSV and JSON files, and from a dict."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from headweights.errors import WeightError
from headweights.images.image import checked_weights
from headweights.images.names import EITHER, FILE_NAME, IMAGE_ID, NamedWeights, normal_path
from headweights.images.table import TableBuilder
from headweights.weights.addresses import target_of


def named_weights(items: Iterable[tuple[Any, Any]], by: str, where: str) -> tuple[list[str], NamedWeights]:
    """Packs (name, weights) pairs; returns the names too.

    Args:
        items: An image's name, and a number or a table from addresses to numbers.
        by: The kind of names; see :class:`~headweights.images.names.NamedWeights`.
        where: What errors call the source.

    Raises:
        WeightError: A name or a weight is invalid.
    """
    names, builder = [], TableBuilder()
    for name, value in items:
        if isinstance(name, bool) or not isinstance(name, (str, int)) or not normal_path(str(name)):
            raise WeightError(f"{where}: {name!r} is not the name of an image; write its file name or its id.")
        names.append(normal_path(str(name)))
        builder.add(checked_weights(value, where=f"{where}: the weight of {name!r}"))
    return names, NamedWeights(names, builder.table(), by, where)


def read_json(path: Path, where: str) -> tuple[list[str], NamedWeights]:
    """Reads an object from image names to weights; returns the names too."""

    def refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
            raise WeightError(f"{where} names {name!r} twice.")
        return table

    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=refuse_twice)
    except OSError as error:
        raise WeightError(f"{where} cannot be read: {error.strerror}.") from None
    except WeightError:
        raise
    except (ValueError, RecursionError) as error:
        raise WeightError(f"{where} is not valid JSON: {error}.") from None
    if not isinstance(table, dict):
        raise WeightError(f"{where} holds a {type(table).__name__}; it must hold an object from image names to weights.")
    return named_weights(table.items(), EITHER, where)


def read_csv(path: Path, where: str) -> tuple[list[str], NamedWeights]:
    """Reads a column of image names and columns of weights; returns the names too."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read_rows(csv.reader(file, strict=True), where)
    except OSError as error:
        raise WeightError(f"{where} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise WeightError(f"{where} is not encoded in UTF-8: {error.reason}.") from None
    except csv.Error as error:
        raise WeightError(f"{where} is not valid CSV: {error}.") from None


def _read_rows(rows: Any, where: str) -> tuple[list[str], NamedWeights]:
    header = [cell.strip() for cell in next(rows, [])]
    keys = [column for column in header if column in (FILE_NAME, IMAGE_ID)]
    if len(keys) != 1:
        raise WeightError(
            f"{where}: its first line is {header}; it must name one column file_name or image_id, and columns of weights."
        )
    column = header.index(keys[0])
    targets = {number: _target_of_column(name) for number, name in enumerate(header) if number != column}
    if not targets or len(set(targets.values())) < len(targets):
        raise WeightError(
            f"{where}: its first line is {header}; besides {keys[0]} it must name columns of weights, each once: 'weight' for "
            "every head, or an address such as 'rpn_head'."
        )

    def items() -> Iterable[tuple[str, dict[str, Any]]]:
        for cells in rows:
            if not cells:
                continue
            line = f"{where}, line {rows.line_num}"
            if len(cells) != len(header):
                raise WeightError(f"{line} has {len(cells)} cells, the first line {len(header)}.")
            given = {target: cells[number].strip() for number, target in targets.items() if cells[number].strip()}
            if not cells[column].strip():
                raise WeightError(f"{line} has no {keys[0]}.")
            yield cells[column].strip(), {target: _number(text, line) for target, text in given.items()}

    return named_weights(items(), keys[0], where)


def _target_of_column(name: str) -> str:
    return "" if name == "weight" else target_of(name)


def _number(text: str, line: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise WeightError(f"{line}: {text!r} is not a number; a loss weight is a real number >= 0, such as 0.3.") from None

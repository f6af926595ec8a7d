"""Opens a source of weights by image: a CSV or JSON file, a dict in the config, or a function."""

from __future__ import annotations

import csv
import importlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headweights.errors import WeightError
from headweights.images.image import ImageInfo, checked_weights
from headweights.images.names import EITHER, FILE_NAME, IMAGE_ID, NamedWeights, normal_path
from headweights.images.table import TableBuilder
from headweights.weights.addresses import target_of


@dataclass(frozen=True)
class CalledWeights:
    """Weights from a function of an image's info.

    Args:
        function: Called with the image's info (``img_path``, ``img_id``, ``height``, ``width``, ``instances``, ...). Returns a
            number, a table from addresses to numbers, or None for no weight.
    """

    function: Callable[[Mapping[str, Any]], Any]

    def of(self, image: ImageInfo) -> dict[str, float]:
        """Returns the weights that the function gives an image, by target.

        Raises:
            WeightError: The function fails or returns something that is no weight.
        """
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        try:
            given = self.function(image.info)
        except Exception as error:
            raise WeightError(f"the function {name!r} fails for image {image.path!r}: {type(error).__name__}: {error}") from error
        return {} if given is None else checked_weights(given, where=f"the value that {name!r} returns for image {image.path!r}")


def read(source: Any, dataset: str | None = None) -> tuple[list[str], NamedWeights | CalledWeights]:
    """Opens a source of weights by image; returns the names of its entries (none for a function) and the weights.

    Args:
        source: One of

            - the path of a CSV file: a column ``file_name`` or ``image_id``, and columns of weights, ``weight`` for every head
              or an address (``rpn_head``, ``roi_head.bbox_head.loss_cls``); an empty cell gives no weight;
            - the path of a JSON file, an object from names to numbers or to tables from addresses to numbers;
            - the same as a dict;
            - a function of the image's info, or ``'module:function'``.
        dataset: The data set's name, for errors.

    Raises:
        WeightError: The source is none of these, cannot be read, or holds an invalid weight.
    """
    prefix = f"data set {dataset!r}: " if dataset else ""
    if isinstance(source, Mapping):
        return _named(source.items(), EITHER, f"{prefix}images")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.suffix.lower() in (".csv", ".json"):
            return _from_file(path, f"{prefix}{path}")
        if isinstance(source, str) and ":" in source:
            return [], CalledWeights(_imported(source, prefix))
    elif callable(source):
        return [], CalledWeights(source)
    raise WeightError(
        f"{prefix}images is {source!r}; it must be the path of a .csv or .json file, a dict by image, or a function of the "
        "image's info ('module:function' in a config)."
    )


def _imported(name: str, prefix: str) -> Callable[[Mapping[str, Any]], Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise WeightError(f"{prefix}images is {name!r}, which cannot be imported: {error}.") from None
    if not callable(found):
        raise WeightError(f"{prefix}images is {name!r}, which is not a function.")
    return found  # type: ignore[no-any-return]


def _from_file(path: Path, where: str) -> tuple[list[str], NamedWeights]:
    kind = path.suffix[1:].upper()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _from_csv(csv.reader(file, strict=True), where) if kind == "CSV" else _from_json(file.read(), where)
    except WeightError:
        raise
    except OSError as error:
        raise WeightError(f"{where} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise WeightError(f"{where} is not encoded in UTF-8: {error.reason}.") from None
    except (csv.Error, ValueError, RecursionError) as error:
        raise WeightError(f"{where} is not valid {kind}: {error}.") from None


def _from_json(text: str, where: str) -> tuple[list[str], NamedWeights]:
    """Reads an object from image names to weights."""

    def refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
            raise WeightError(f"{where} names {name!r} twice.")
        return table

    table = json.loads(text, object_pairs_hook=refuse_twice)
    if not isinstance(table, dict):
        raise WeightError(f"{where} holds a {type(table).__name__}; it must hold an object from image names to weights.")
    return _named(table.items(), EITHER, where)


def _from_csv(rows: Any, where: str) -> tuple[list[str], NamedWeights]:
    """Reads a column of image names and columns of weights."""
    header = [cell.strip() for cell in next(rows, [])]
    keys = [column for column in header if column in (FILE_NAME, IMAGE_ID)]
    if len(keys) != 1:
        raise WeightError(
            f"{where}: its first line is {header}; it must name one column file_name or image_id, and columns of weights."
        )
    column = header.index(keys[0])
    targets = {number: "" if name == "weight" else target_of(name) for number, name in enumerate(header) if number != column}
    if not targets or len(set(targets.values())) < len(targets):
        raise WeightError(
            f"{where}: its first line is {header}; besides {keys[0]} it must name columns of weights, each once: 'weight' for "
            "every head, or an address such as 'rpn_head'."
        )

    def items() -> Iterator[tuple[str, dict[str, Any]]]:
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

    return _named(items(), keys[0], where)


def _number(text: str, line: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise WeightError(f"{line}: {text!r} is not a number; a loss weight is a real number >= 0, such as 0.3.") from None


def _named(items: Iterable[tuple[Any, Any]], by: str, where: str) -> tuple[list[str], NamedWeights]:
    """Packs (name, weights) pairs; returns the names too."""
    names, builder = [], TableBuilder()
    for name, value in items:
        if isinstance(name, bool) or not isinstance(name, (str, int)) or not normal_path(str(name)):
            raise WeightError(f"{where}: {name!r} is not the name of an image; write its file name or its id.")
        names.append(normal_path(str(name)))
        builder.add(checked_weights(value, where=f"{where}: the weight of {name!r}"))
    return names, NamedWeights(names, builder.table(), by, where)

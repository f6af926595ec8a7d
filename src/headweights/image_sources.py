"""Where the weights of single images are read from: CSV, JSON, a dict in the config, path globs, or a function."""

from __future__ import annotations

import csv
import fnmatch
import importlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from headweights.addresses import target_of
from headweights.errors import WeightError
from headweights.images import ImageInfo, ImageTable, TableBuilder, checked_weights

FILE_NAME, IMAGE_ID = "file_name", "image_id"
EITHER = f"{FILE_NAME} or {IMAGE_ID}"
_GLOB = re.compile(r"[*?\[]")


class NamedWeights:
    """Weights by the images' names: 8 bytes a name and the entries' rows, found by binary search.

    A name is a file's path or the end of one that starts at a folder (``'a/1.png'`` and ``'1.png'`` name ``'/data/a/1.png'``),
    or an image id. A name with ``*``, ``?`` or ``[`` is a glob too, matched against every such end; ``*`` matches ``/`` as well.
    A name that is written out wins over a glob, an earlier glob over a later one.

    Args:
        names: The entries' names.
        entries: Their weights, in the same order.
        by: What the names are: ``'file_name'``, ``'image_id'``, or ``'file_name or image_id'``.
        where: What to call the source in an error.

    Raises:
        WeightError: A name is given twice.
    """

    def __init__(self, names: list[str], entries: ImageTable, by: str, where: str) -> None:
        self.by = by
        self.where = where
        self.entries = entries
        hashes = np.fromiter((_hash(name) for name in names), dtype=np.uint64, count=len(names))
        self._order = np.argsort(hashes, kind="stable").astype(np.min_scalar_type(max(len(names) - 1, 0)))
        self._hashes = hashes[self._order]
        twice = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        if len(twice):
            raise WeightError(f"{where} names {names[self._order[twice[0]]]!r} twice.")
        self._depths = sorted({name.count("/") + 1 for name in names}, reverse=True) if by != IMAGE_ID else []
        self._globs = [
            (entry, re.compile("(?:.*/)?" + fnmatch.translate(name), re.DOTALL))
            for entry, name in enumerate(names)
            if by != IMAGE_ID and _GLOB.search(name)
        ]

    @property
    def nbytes(self) -> int:
        """Its size in memory, in bytes."""
        return int(self._hashes.nbytes + self._order.nbytes + self.entries.nbytes)

    def find(self, image: ImageInfo) -> int | None:
        """The number of the entry that speaks of an image; None where none does.

        Raises:
            WeightError: Two entries name it.
        """
        path = _normal(image.path)
        found: dict[int, str] = {}
        if self._depths:
            parts = path.split("/")
            for depth in self._depths:
                if depth <= len(parts):
                    self._look_up("/".join(parts[-depth:]), found)
        if self.by != FILE_NAME and image.img_id is not None:
            self._look_up(str(image.img_id), found)
        if len(found) > 1:
            names = " and ".join(map(repr, found.values()))
            raise WeightError(f"{self.where} names image {image.path!r} twice: {names}.")
        for entry in found:
            return entry
        return next((entry for entry, glob in self._globs if glob.match(path)), None)

    def of(self, image: ImageInfo) -> dict[str, float]:
        """What is given for an image, by target."""
        entry = self.find(image)
        return {} if entry is None else self.entries.weights(entry)

    def is_glob(self, entry: int) -> bool:
        """Whether an entry's name is a glob."""
        return any(entry == one for one, _ in self._globs)

    def names_some(self, entry: int, images: Collection[ImageInfo]) -> bool:
        """Whether an entry's glob matches an image, however many are taken by other entries."""
        globs = [glob for one, glob in self._globs if one == entry]
        return any(glob.match(_normal(image.path)) for glob in globs for image in images)

    def _look_up(self, name: str, found: dict[int, str]) -> None:
        wanted = _hash(name)
        place = int(self._hashes.searchsorted(np.uint64(wanted)))
        if place < len(self._hashes) and int(self._hashes[place]) == wanted:
            found.setdefault(int(self._order[place]), name)


class CalledWeights:
    """Weights from a function of what the data set knows of an image.

    Args:
        function: Called with the image's info (``img_path``, ``img_id``, ``height``, ``width``, ``instances``, ...). Returns a
            number, a table from addresses to numbers, or None where it has nothing to say.
    """

    def __init__(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        self._function = function

    def of(self, image: ImageInfo) -> dict[str, float]:
        """What the function gives for an image, by target.

        Raises:
            WeightError: The function fails, or returns no weight.
        """
        name = getattr(self._function, "__qualname__", type(self._function).__name__)
        try:
            given = self._function(image.info)
        except Exception as error:
            raise WeightError(f"the function {name!r} fails for image {image.path!r}: {type(error).__name__}: {error}") from error
        return {} if given is None else checked_weights(given, where=f"what {name!r} returns for image {image.path!r}")


def read(source: Any, dataset: str | None = None) -> tuple[list[str], NamedWeights | CalledWeights]:
    """Reads a source of weights by image; returns the names of its entries (none for a function) and the weights by name.

    Args:
        source: One of

            - the path of a CSV file: a column ``file_name`` or ``image_id``, and columns of weights, ``weight`` for every head
              or an address (``rpn_head``, ``roi_head.bbox_head.loss_cls``); an empty cell gives nothing;
            - the path of a JSON file, an object from names to numbers or to tables from addresses to numbers;
            - the same as a dict;
            - a function of the image's info, or ``'module:function'``.
        dataset: The data set's name, for errors.

    Raises:
        WeightError: The source is none of these, cannot be read, or holds something that is no weight.
    """
    prefix = f"data set {dataset!r}: " if dataset else ""
    if isinstance(source, Mapping):
        return _named(source.items(), EITHER, f"{prefix}images")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.suffix.lower() == ".csv":
            return _read_csv(path, f"{prefix}{path}")
        if path.suffix.lower() == ".json":
            return _read_json(path, f"{prefix}{path}")
        if isinstance(source, str) and ":" in source:
            return [], CalledWeights(_imported(source, prefix))
    elif callable(source):
        return [], CalledWeights(source)
    raise WeightError(
        f"{prefix}images is {source!r}; it is the path of a .csv or .json file, a dict by image, or a function of the image's "
        "info ('module:function' in a config)."
    )


def _named(items: Iterable[tuple[Any, Any]], by: str, where: str) -> tuple[list[str], NamedWeights]:
    names, builder = [], TableBuilder()
    for name, value in items:
        if isinstance(name, bool) or not isinstance(name, (str, int)) or not _normal(str(name)):
            raise WeightError(f"{where}: {name!r} is no name of an image; write its file name or its id.")
        names.append(_normal(str(name)))
        builder.add(checked_weights(value, where=f"{where}: the weight of {name!r}"))
    return names, NamedWeights(names, builder.table(), by, where)


def _read_json(path: Path, where: str) -> tuple[list[str], NamedWeights]:
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
        raise WeightError(f"{where} is no JSON: {error}.") from None
    if not isinstance(table, dict):
        raise WeightError(f"{where} holds a {type(table).__name__}; it is an object from image names to weights.")
    return _named(table.items(), EITHER, where)


def _read_csv(path: Path, where: str) -> tuple[list[str], NamedWeights]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read_rows(csv.reader(file, strict=True), where)
    except OSError as error:
        raise WeightError(f"{where} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise WeightError(f"{where} is not written in UTF-8: {error.reason}.") from None
    except csv.Error as error:
        raise WeightError(f"{where} is no CSV: {error}.") from None


def _read_rows(rows: Any, where: str) -> tuple[list[str], NamedWeights]:
    header = [cell.strip() for cell in next(rows, [])]
    keys = [column for column in header if column in (FILE_NAME, IMAGE_ID)]
    if len(keys) != 1:
        raise WeightError(
            f"{where}: its first line is {header}; it names one column file_name or image_id, and columns of weights."
        )
    column = header.index(keys[0])
    targets = {number: _target_of_column(name) for number, name in enumerate(header) if number != column}
    if not targets or len(set(targets.values())) < len(targets):
        raise WeightError(
            f"{where}: its first line is {header}; beside {keys[0]} it names the columns of weights, each once: 'weight' for "
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

    return _named(items(), keys[0], where)


def _target_of_column(name: str) -> str:
    return "" if name == "weight" else target_of(name)


def _number(text: str, line: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise WeightError(f"{line}: {text!r} is no number; a loss weight is a real number >= 0, such as 0.3.") from None


def _imported(name: str, prefix: str) -> Callable[[Mapping[str, Any]], Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise WeightError(f"{prefix}images is {name!r}, which cannot be imported: {error}.") from None
    if not callable(found):
        raise WeightError(f"{prefix}images is {name!r}, which is no function.")
    return found  # type: ignore[no-any-return]


def _normal(path: str) -> str:
    """A path as its parts joined by '/', without what stands before the first of them."""
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    return path.removeprefix("./").lstrip("/")


def _hash(name: str) -> int:
    # Python's own hash of a string differs from process to process, and workers may be spawned.
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")

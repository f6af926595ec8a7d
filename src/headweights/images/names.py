"""Finds an image's weights by its name: a file name, a path, an id or a glob."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from headweights.errors import WeightError
from headweights.images.image import ImageInfo
from headweights.images.table import ImageTable

FILE_NAME, IMAGE_ID = "file_name", "image_id"
EITHER = f"{FILE_NAME} or {IMAGE_ID}"
_GLOB = re.compile(r"[*?\[]")


class NamedWeights:
    """Weights by image name, found by binary search in hashes of the names. The names themselves are not kept.

    A name is an image id or the path of a file, in full or without its first folders (``'a/1.png'`` and ``'1.png'`` both name
    ``'/data/a/1.png'``). A name with ``*``, ``?`` or ``[`` is a glob as well, matched in the same way; its ``*`` also matches
    ``/``. A literal name wins over a glob, and an earlier glob over a later one.

    Args:
        names: The entries' names.
        entries: Their weights, in the same order.
        by: The kind of names: ``'file_name'``, ``'image_id'``, or ``'file_name or image_id'``.
        where: What errors call the source.

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
        self._globs = {
            entry: re.compile("(?:.*/)?" + fnmatch.translate(name), re.DOTALL)
            for entry, name in enumerate(names)
            if by != IMAGE_ID and _GLOB.search(name)
        }

    @property
    def nbytes(self) -> int:
        """The size in memory, in bytes, globs not counted."""
        return int(self._hashes.nbytes + self._order.nbytes + self.entries.nbytes)

    def find(self, image: ImageInfo) -> int | None:
        """Returns the number of the entry that names an image, or None.

        Raises:
            WeightError: Two entries name it.
        """
        path = normal_path(image.path)
        parts = path.split("/")
        names = ["/".join(parts[-depth:]) for depth in self._depths if depth <= len(parts)]
        if self.by != FILE_NAME and image.img_id is not None:
            names.append(str(image.img_id))
        found = {entry: name for name in names if (entry := self._entry(name)) is not None}
        if len(found) > 1:
            raise WeightError(f"{self.where} names image {image.path!r} twice: {' and '.join(map(repr, found.values()))}.")
        globs = (entry for entry, glob in self._globs.items() if glob.match(path))
        return next(iter(found or globs), None)

    def of(self, image: ImageInfo) -> dict[str, float]:
        """Returns the weights of an image by target."""
        entry = self.find(image)
        return {} if entry is None else self.entries.weights(entry)

    def is_glob(self, entry: int) -> bool:
        """Whether the name of an entry is a glob."""
        return entry in self._globs

    def matches_any(self, entry: int, images: Iterable[ImageInfo]) -> bool:
        """Whether an entry is a glob that matches some image, even one that another entry takes."""
        glob = self._globs.get(entry)
        return glob is not None and any(glob.match(normal_path(image.path)) for image in images)

    def _entry(self, name: str) -> int | None:
        """The number of the entry of exactly this name."""
        wanted = _hash(name)
        place = int(self._hashes.searchsorted(np.uint64(wanted)))
        return int(self._order[place]) if place < len(self._hashes) and int(self._hashes[place]) == wanted else None


def normal_path(path: str) -> str:
    """A path with '/' between its parts and without a leading './' or '/'."""
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    return path.removeprefix("./").lstrip("/")


def _hash(name: str) -> int:
    # Python's own string hash differs between processes, and workers may be spawned.
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")

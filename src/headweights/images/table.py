"""The weights of many images in two small arrays.

A million images take one small integer each, which points into the distinct rows of weights. Both are NumPy arrays, so the
workers of a data loader share them: there are no Python objects whose reference counts would be written, which copies pages.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headweights.errors import WeightError
from headweights.weights.addresses import AddressBook, covering

_NOT_GIVEN = float("nan")


class ImageTable:
    """Weights by number, of the images of a data set or of the entries of a file. Immutable; pickles.

    Args:
        targets: The targets of the columns: ``''`` for every head, ``'rpn_head'``, ``'roi_head.bbox_head.loss_cls'``.
        rows: The distinct rows, shape (rows, targets), float64, NaN where a target is not given.
        index: The row of each image, shape (images,), of the smallest unsigned integer type that can number the rows.
    """

    def __init__(self, targets: Sequence[str], rows: NDArray[np.float64], index: NDArray[Any]) -> None:
        self.targets = tuple(targets)
        self._rows = rows
        self._index = index

    @classmethod
    def without_weights(cls, images: int) -> ImageTable:
        """Returns a table of images without weights."""
        return cls((), np.zeros((1, 0)), np.zeros(images, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """The size in memory, in bytes."""
        return int(self._rows.nbytes + self._index.nbytes)

    @property
    def array(self) -> NDArray[np.float32]:
        """The weights of all images, shape (images, targets), 1 where none is given. Computed at each access."""
        rows = np.where(np.isnan(self._rows), 1.0, self._rows).astype(np.float32)
        filled: NDArray[np.float32] = rows[self._index]
        return filled

    def weights(self, number: int) -> dict[str, float]:
        """Returns the weights of an image by target.

        Raises:
            WeightError: No image has that number.
        """
        if not 0 <= number < len(self):
            raise WeightError(f"image number {number}: the table of weights has {len(self)} images, those of another data set.")
        row = self._rows[self._index[number]]
        return {target: float(weight) for target, weight in zip(self.targets, row) if weight == weight}

    def mean_weight(self, targets: Sequence[str] = ("",)) -> float:
        """Returns the mean weight of the images. An image counts with the first of `targets` that it has, or with 1.

        Args:
            targets: From the most specific to the least, e.g. ``('rpn_head.loss_cls', 'rpn_head', '')``.
        """
        weights: NDArray[Any] = np.ones(len(self._rows))
        for target in reversed(targets):
            if target in self.targets:
                given = self._rows[:, self.targets.index(target)]
                weights = np.where(np.isnan(given), weights, given)
        counts = np.bincount(self._index, minlength=len(self._rows))
        return float(weights @ counts / counts.sum()) if len(self) else 1.0


def mean_weights(table: ImageTable | None, book: AddressBook) -> Callable[[str, str], float]:
    """Returns a function of (head path, loss): the mean of the images' own weights; 1 without a table.

    Args:
        table: The weights of the images.
        book: The addresses of the model.

    Raises:
        WeightError: Nothing in the model reads a target of the table.
    """
    if table is None or not table.targets:
        return lambda head, loss: 1.0
    addresses = {book.at(target): target for target in table.targets}

    @functools.cache
    def mean(head: str, loss: str) -> float:
        return table.mean_weight([addresses[address] for address in covering(addresses, head, loss)])

    return mean


class TableBuilder:
    """Collects the weights of one image after the other and packs them into an :class:`ImageTable`."""

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {}
        self._count = 0

    def add(self, weights: Mapping[str, float]) -> None:
        """Adds the next image's weights by target. They have been checked."""
        for target in weights:
            if target not in self._columns:
                self._columns[target] = array("d", [_NOT_GIVEN]) * self._count
        for target, column in self._columns.items():
            column.append(weights.get(target, _NOT_GIVEN))
        self._count += 1

    def table(self) -> ImageTable:
        """Returns the table of the images added so far."""
        columns: list[NDArray[Any]] = [np.frombuffer(column, dtype=np.float64) for column in self._columns.values()]
        codes: NDArray[Any] = np.zeros(self._count, dtype=np.int64)
        for column in columns:
            # Compared as integers, because a NaN does not equal itself.
            values, inverse = np.unique(column.view(np.uint64), return_inverse=True)
            codes = np.unique(codes * len(values) + inverse, return_inverse=True)[1]
        _, first, index = np.unique(codes, return_index=True, return_inverse=True)
        rows = np.stack([column[first] for column in columns], axis=1) if columns else np.zeros((len(first), 0))
        return ImageTable(tuple(self._columns), rows, index.astype(np.min_scalar_type(max(len(first) - 1, 0))))

"""One data set of a mix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headweights.errors import WeightError
from headweights.images.table import ImageTable
from headweights.mixture.mix import no_such_dataset
from headweights.transformers.data.entries import labelled
from headweights.transformers.data.images import image_table


@dataclass(frozen=True, eq=False)
class Source:
    """A data set of a mix, or the part of one that a column names.

    Args:
        name: Its name.
        dataset: A map-style or iterable data set.
        rows: The items that belong to it. Default: None, all.
        own: Its images' own weights by their number in `dataset`. Default: None, all 1.
    """

    name: str
    dataset: Any
    rows: NDArray[np.int64] | None = None
    own: ImageTable | None = None

    @property
    def is_sized(self) -> bool:
        """Whether its items can be counted and picked."""
        return hasattr(self.dataset, "__len__") and hasattr(self.dataset, "__getitem__")

    def __len__(self) -> int:
        return len(self.dataset) if self.rows is None else len(self.rows)

    def __getitem__(self, number: int) -> Any:
        row = number if self.rows is None else int(self.rows[number])
        return labelled(self.dataset[row], self.name, self.own.weights(row) if self.own is not None else {})

    def __iter__(self) -> Iterator[Any]:
        if self.is_sized:
            yield from (self[number] for number in range(len(self)))
        else:
            yield from (labelled(item, self.name, {}) for item in self.dataset)


def sources_of(datasets: Mapping[str, Any], images: Mapping[str, Any]) -> list[Source]:
    """Returns the data sets of a mix with their images' own weights.

    Args:
        datasets: The data sets by name.
        images: Where the weights of images are, by data set.

    Raises:
        WeightError: A name is empty, weights are given for a data set that is not there or cannot be counted, or an image is not
            there.
    """
    sources = []
    for name in images:
        if name not in datasets:
            raise WeightError(no_such_dataset(f"LossWeights: images: {name!r}", name, datasets))
    for name, dataset in datasets.items():
        if not isinstance(name, str) or not name:
            raise WeightError(f"LossWeights.mix: {name!r} is no name of a data set.")
        source = Source(name, dataset)
        if name in images:
            if not source.is_sized:
                raise WeightError(f"LossWeights: images: data set {name!r} is a stream, whose images cannot be looked up.")
            source = Source(name, dataset, own=image_table(dataset, images[name], name))
        sources.append(source)
    return sources


def sources_by_column(dataset: Any, column: str, images: Mapping[str, Any]) -> list[Source]:
    """Splits a data set from ``datasets`` by a column with the names of data sets.

    Raises:
        WeightError: It has no such column, or it holds something that is no name. See also :func:`sources_of`.
    """
    columns = getattr(dataset, "column_names", None)
    if not columns or column not in columns:
        known = (
            f"its columns: {', '.join(columns)}"
            if columns
            else "it has no columns; this is for data sets of the library datasets"
        )
        raise WeightError(f"LossWeights.mix: the {type(dataset).__name__} has no column {column!r}; {known}.")
    if not hasattr(dataset, "__len__"):
        raise WeightError(f"LossWeights.mix: a column cannot split the {type(dataset).__name__}, which is a stream.")
    of_rows: Sequence[Any] = list(dataset.with_format(None)[column])
    for value in of_rows:
        if not isinstance(value, str) or not value:
            raise WeightError(f"LossWeights.mix: column {column!r} holds {value!r}; it must hold the names of data sets.")
    names, codes = np.unique(np.array(of_rows, dtype=object).astype(str), return_inverse=True)
    for name in images:
        if name not in names:
            raise WeightError(no_such_dataset(f"LossWeights: images: {name!r}", name, list(map(str, names))))
    return [
        Source(
            str(name),
            dataset,
            np.flatnonzero(codes == code),
            image_table(dataset, images[name], name) if name in images else None,
        )
        for code, name in enumerate(names)
    ]

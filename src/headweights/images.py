"""What single images weigh: a source that the user gives, resolved once against a data set into two small arrays.

The weights of a million images are one small integer an image and the distinct rows it points to: NumPy arrays, which the
processes of a data loader share for as long as nobody writes to them, and which hold no Python object whose reference count
would be written.
"""

from __future__ import annotations

import difflib
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headweights.addresses import target_of
from headweights.errors import WeightError
from headweights.weights import checked_weight

_NOT_GIVEN = float("nan")
# An error suggests the nearest name among this many images of the data set at most.
_SEARCHED = 50_000


@dataclass(frozen=True)
class ImageInfo:
    """One image of a data set, as sources of weights know it.

    Args:
        path: The image file's path, as the data set gives it (``img_path``).
        img_id: The image's id; None where the data set has none.
        weights: What the data set's own annotations give, by target.
        info: Everything the data set knows of the image; what a callable source is called with.
    """

    path: str
    img_id: Any = None
    weights: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


class ImageTable:
    """Weights by number: of the images of a data set, or of the entries of a file. Immutable; pickles.

    Args:
        targets: What the columns speak of: ``''`` is every head, ``'rpn_head'``, ``'roi_head.bbox_head.loss_cls'``.
        rows: The distinct rows, shape (rows, targets), float64, NaN where a target is not given.
        index: The row of each image, shape (images,), an unsigned integer type as small as the number of rows allows.
    """

    def __init__(self, targets: Sequence[str], rows: NDArray[np.float64], index: NDArray[Any]) -> None:
        self.targets = tuple(targets)
        self._rows = rows
        self._index = index

    @classmethod
    def without_weights(cls, images: int) -> ImageTable:
        """The table of so many images of which nothing is given."""
        return cls((), np.zeros((1, 0)), np.zeros(images, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """Its size in memory, in bytes."""
        return int(self._rows.nbytes + self._index.nbytes)

    @property
    def array(self) -> NDArray[np.float32]:
        """Every image's weights, shape (images, targets), 1 where a target is not given. Computed when asked for."""
        rows = np.where(np.isnan(self._rows), 1.0, self._rows).astype(np.float32)
        filled: NDArray[np.float32] = rows[self._index]
        return filled

    def weights(self, number: int) -> dict[str, float]:
        """What is given for an image, by target.

        Raises:
            WeightError: There is no image of that number.
        """
        if not 0 <= number < len(self):
            raise WeightError(f"image number {number}: the table of weights has {len(self)} images; it is of another data set.")
        row = self._rows[self._index[number]]
        return {target: float(weight) for target, weight in zip(self.targets, row) if weight == weight}

    def mean_weight(self, targets: Sequence[str] = ("",)) -> float:
        """The mean over the images of one weight: the first of some targets that is given for an image, 1 where none is.

        Args:
            targets: From the most specific to the least, e.g. ``('rpn_head.loss_cls', 'rpn_head', '')``.
        """
        counts = np.bincount(self._index, minlength=len(self._rows))
        weights: NDArray[Any] = np.full(len(self._rows), _NOT_GIVEN)
        for target in targets:
            if target in self.targets:
                weights = np.where(np.isnan(weights), self._rows[:, self.targets.index(target)], weights)
        weights = np.where(np.isnan(weights), 1.0, weights)
        return float(weights @ counts / counts.sum()) if len(self) else 1.0


class TableBuilder:
    """Collects weights image by image, a column a target, and packs them into an :class:`ImageTable`."""

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {}
        self._count = 0

    def add(self, weights: Mapping[str, float]) -> None:
        """The next image's weights, checked before, by target."""
        for target in weights:
            if target not in self._columns:
                self._columns[target] = array("d", [_NOT_GIVEN]) * self._count
        for target, column in self._columns.items():
            column.append(weights.get(target, _NOT_GIVEN))
        self._count += 1

    def table(self) -> ImageTable:
        """What was collected."""
        columns: list[NDArray[Any]] = [np.frombuffer(column, dtype=np.float64) for column in self._columns.values()]
        codes: NDArray[Any] = np.zeros(self._count, dtype=np.int64)
        for column in columns:
            # As integers: one NaN is like the other.
            values, inverse = np.unique(column.view(np.uint64), return_inverse=True)
            codes = np.unique(codes * len(values) + inverse, return_inverse=True)[1]
        _, first, index = np.unique(codes, return_index=True, return_inverse=True)
        rows = np.stack([column[first] for column in columns], axis=1) if columns else np.zeros((len(first), 0))
        return ImageTable(tuple(self._columns), rows, index.astype(np.min_scalar_type(max(len(first) - 1, 0))))


def checked_weights(value: Any, where: str) -> dict[str, float]:
    """One image's weights by target: of a number, which speaks of every head, or of a table from addresses to numbers.

    Args:
        value: A real number >= 0, or a mapping of such numbers by address: ``''`` or ``'loss_weight'`` for every head,
            ``'rpn_head'`` or ``'rpn_head.loss_weight'``, ``'roi_head.bbox_head.loss_cls'``.
        where: The subject of the error's sentence.

    Raises:
        WeightError: It is neither, a weight in it is none, or an address is given twice.
    """
    if not isinstance(value, Mapping):
        return {"": checked_weight(value, where)}
    weights: dict[str, float] = {}
    for address, weight in value.items():
        if not isinstance(address, str):
            raise WeightError(f"{where}: {address!r} is no address of a head, such as 'rpn_head'.")
        target = target_of(address)
        if target in weights:
            raise WeightError(f"{where}: {target or 'every head'!r} is given twice.")
        weights[target] = checked_weight(weight, where=f"{where}: {address!r}")
    return weights


def resolve(source: Any, images: Collection[ImageInfo], dataset: str) -> ImageTable:
    """Looks up the weights of every image of a data set.

    An image that the source does not name keeps what its annotations give, and 1 for the rest. Where both speak of the same
    target, the source wins.

    Args:
        source: See :func:`headweights.image_sources.read`; None for the annotations alone.
        images: The images in the order of the data set. Passed through once; once more for the words of an error.
        dataset: The data set's name, for errors.

    Raises:
        WeightError: The source is malformed; it names an image that the data set does not have, or one that two images could be
            meant by; an image is named twice.
    """
    from headweights.image_sources import NamedWeights, read

    builder = TableBuilder()
    if source is None:
        for image in images:
            builder.add(image.weights)
        return builder.table()
    names, weights = read(source, dataset)
    if not isinstance(weights, NamedWeights):
        for image in images:
            builder.add({**image.weights, **weights.of(image)})
        return builder.table()
    hits = np.zeros(len(names), dtype=np.uint32)
    for image in images:
        entry = weights.find(image)
        if entry is None:
            builder.add(image.weights)
        else:
            hits[entry] += 1
            builder.add({**image.weights, **weights.entries.weights(entry)})
    _refuse_unknown(names, hits, weights, images)
    return builder.table()


def _refuse_unknown(names: Sequence[str], hits: NDArray[Any], weights: Any, images: Collection[ImageInfo]) -> None:
    """Raises the error of the entries that name no image, or more than one."""
    # A glob to which other entries leave nothing is no error: it does name images.
    missed = [int(entry) for entry in np.flatnonzero(hits == 0) if not weights.names_some(int(entry), images)]
    if missed:
        name = names[missed[0]]
        near = difflib.get_close_matches(name, _names_like(name, images, weights.by), n=1)
        said = f"{weights.where} names {name!r}, and none of the {len(images)} images is called that."
        if len(missed) > 1:
            said += f" So do {len(missed) - 1} more of its {len(names)} entries."
        raise WeightError(said + (f" Nearest: {near[0]!r}." if near else ""))
    several = [entry for entry in np.flatnonzero(hits > 1) if not weights.is_glob(int(entry))]
    if several:
        name = names[several[0]]
        meant = list(islice((image.path for image in images if weights.find(image) == several[0]), 2))
        raise WeightError(
            f"{weights.where} names {name!r}, which {int(hits[several[0]])} images are called: "
            f"{' and '.join(map(repr, meant))}, for two. Write more of the path."
        )


def _names_like(name: str, images: Collection[ImageInfo], by: str) -> Iterator[str]:
    """What images are called, written as fully as a name is."""
    depth = name.count("/") + 1
    for image in islice(images, _SEARCHED):
        yield str(image.img_id) if by == "image_id" else "/".join(image.path.rsplit("/", depth)[-depth:])

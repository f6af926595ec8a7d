"""What each object of an image knows of its origin and its weight.

Wherever a pipeline crops, filters, reorders or joins objects, it does the same to the class labels. So the labels carry the
knowledge: whatever picks or joins rows of :class:`TracedLabels` picks and joins the objects' origins and weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headweights.provenance.origin import Origin, distinct


@dataclass(frozen=True, eq=False)
class ObjectProvenance:
    """Where each object comes from, and what it weighs. Immutable, so that copies of labels share it.

    Args:
        origins: The origins of the images that the objects come from, those of images whose objects are all gone included. None
            stands for an unknown origin.
        index: The index of each object's origin among `origins`, shape (objects,), int64.
        weights: Each object's own weight, shape (objects,), float32.
    """

    origins: tuple[Origin | None, ...]
    index: NDArray[np.int64]
    weights: NDArray[np.float32]

    @staticmethod
    def of_one(origin: Origin | None, objects: int, weights: NDArray[np.float32] | None = None) -> ObjectProvenance:
        """The provenance of all objects of one image, shape (objects,); they weigh 1 by default."""
        weights = np.ones(objects, np.float32) if weights is None else weights
        return ObjectProvenance((origin,), np.zeros(objects, np.int64), weights)

    def taken(self, rows: NDArray[np.int64]) -> ObjectProvenance:
        """The provenance of some of the objects, in the order of the rows."""
        return ObjectProvenance(self.origins, self.index[rows], self.weights[rows])

    @staticmethod
    def joined(several: Sequence[ObjectProvenance]) -> ObjectProvenance:
        """The provenance of the objects of several arrays, one array after the other."""
        origins = distinct(origin for one in several for origin in one.origins)
        index = [np.array([origins.index(origin) for origin in one.origins], dtype=np.int64)[one.index] for one in several]
        return ObjectProvenance(tuple(origins), np.concatenate(index), np.concatenate([one.weights for one in several]))


# Functions that pick or reorder rows of their first argument. They do the same to row numbers.
_PICKING = (np.take, np.delete, np.flip, np.roll, np.repeat, np.copy)


class TracedLabels(np.ndarray[Any, Any]):
    """Class labels, shape (objects,), that know the :class:`ObjectProvenance` of the objects.

    Indexing, ``np.concatenate``, copies and elementwise arithmetic keep it. Labels that are joined in from a plain array are of
    unknown origin. Any other operation loses it: `provenance` is None then.
    """

    provenance: ObjectProvenance | None

    def __new__(cls, labels: Any, provenance: ObjectProvenance) -> TracedLabels:
        traced = np.asarray(labels).view(cls)
        traced.provenance = provenance
        return traced

    def __array_finalize__(self, source: Any) -> None:
        self.provenance = None

    def __getitem__(self, index: Any) -> Any:
        labels = np.asarray(self)[index]
        if self.provenance is None or not isinstance(labels, np.ndarray) or labels.ndim != 1:
            return labels
        return TracedLabels(labels, self.provenance.taken(np.arange(len(self))[index]))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        plain = [_plain(value) for value in inputs]
        if out is not None:
            kwargs["out"] = _plain(out)
        result = getattr(ufunc, method)(*plain, **kwargs)
        if out is not None:
            return out[0] if len(out) == 1 else out
        traced = [value.provenance for value in inputs if isinstance(value, TracedLabels)]
        if method == "__call__" and len(traced) == 1 and isinstance(result, np.ndarray) and result.shape == self.shape:
            return _traced(result, traced[0])
        return result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in (np.concatenate, np.hstack):
            return _joined(func, *args, **kwargs)
        plain = [_plain(value) for value in args]
        if func in _PICKING and args and args[0] is self and self.provenance is not None and "out" not in kwargs:
            labels = func(*plain, **kwargs)
            rows = func(np.arange(len(self)), *plain[1:], **kwargs)
            return TracedLabels(labels, self.provenance.taken(rows)) if getattr(rows, "ndim", 0) == 1 else labels
        return func(*plain, **{key: _plain(value) for key, value in kwargs.items()})

    def sort(self, *args: Any, **kwargs: Any) -> None:
        super().sort(*args, **kwargs)
        self.provenance = None

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        return _traced(np.asarray(self).astype(*args, **kwargs), self.provenance)

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        return _traced(np.asarray(self).copy(*args, **kwargs), self.provenance)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __reduce__(self) -> Any:
        return _traced, (np.asarray(self), self.provenance)


def _traced(labels: Any, provenance: ObjectProvenance | None) -> Any:
    return labels if provenance is None else TracedLabels(labels, provenance)


def _plain(value: Any) -> Any:
    """A value with plain arrays in place of traced labels, also in lists and tuples."""
    if isinstance(value, TracedLabels):
        return np.asarray(value)
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _joined(func: Any, arrays: Any, *args: Any, **kwargs: Any) -> Any:
    labels = func([np.asarray(array) for array in arrays], *args, **kwargs)
    known = [(getattr(array, "provenance", None), np.size(array)) for array in arrays]
    if labels.ndim != 1 or not any(provenance for provenance, _ in known):
        return labels
    parts = [provenance or ObjectProvenance.of_one(None, size) for provenance, size in known if provenance or size]
    return TracedLabels(labels, ObjectProvenance.joined(parts))

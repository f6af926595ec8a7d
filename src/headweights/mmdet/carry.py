"""What a picture knows of its origins on its way through a pipeline, and how it gets into the data sample.

Pipelines crop, filter, reorder and merge objects in many places, and every one of them does it to ``gt_bboxes_labels``. So the
labels are what carries: :class:`TracedLabels` are the labels, an array like any other, and whatever picks or joins rows of them
picks and joins the objects' origins and weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.datasets.transforms import Albu, PackDetInputs, PackTrackInputs
from numpy.typing import NDArray

from headweights.errors import WeightError
from headweights.mmdet.subclasses import wrap_everywhere
from headweights.origins import OBJECT_ORIGINS, OBJECT_WEIGHTS, ORIGINS, Origin, Part

LABELS, IGNORED = "gt_bboxes_labels", "gt_ignore_flags"
# The entry of a pipeline's results that holds the picture's Provenance.
PROVENANCE = "loss_provenance"


@dataclass(frozen=True)
class Provenance:
    """Where a picture comes from.

    Args:
        parts: Its parts, no two of one origin.
        objects_weighted: Whether some of its objects were given a weight of their own.
    """

    parts: tuple[Part, ...] = (Part(Origin()),)
    objects_weighted: bool = False

    def __deepcopy__(self, memo: Any) -> Provenance:
        return self  # immutable; mixing steps copy results again and again

    @property
    def needs_trace(self) -> bool:
        """Whether its objects differ in where they come from or in what they weigh."""
        return self.objects_weighted or len(self.parts) > 1


class Trace:
    """Where each object comes from, and what it weighs. Immutable, so that copies of labels share it.

    Args:
        origins: The origins that there are.
        index: Each object's origin, shape (objects,), int64.
        weights: Each object's own weight, shape (objects,), float32.
    """

    def __init__(self, origins: Sequence[Origin], index: NDArray[np.int64], weights: NDArray[np.float32]) -> None:
        self.origins = tuple(origins)
        self.index = index
        self.weights = weights

    def taken(self, rows: NDArray[np.int64]) -> Trace:
        """The trace of some of the objects, in an order."""
        return Trace(self.origins, self.index[rows], self.weights[rows])

    @staticmethod
    def joined(traces: Sequence[Trace]) -> Trace:
        """The trace of several arrays' objects, one after the other."""
        origins = distinct(origin for trace in traces for origin in trace.origins)
        index = [np.array([origins.index(origin) for origin in trace.origins], dtype=np.int64)[trace.index] for trace in traces]
        return Trace(origins, np.concatenate(index), np.concatenate([trace.weights for trace in traces]))


def distinct(origins: Any) -> list[Origin]:
    """The origins without repetitions, by value, in the order of their first appearance."""
    found: list[Origin] = []
    for origin in origins:
        if origin not in found:
            found.append(origin)
    return found


# Functions that pick or reorder rows of their first argument: they do the same to row numbers.
_PICKING = (np.take, np.delete, np.flip, np.roll, np.repeat, np.copy)


class TracedLabels(np.ndarray[Any, Any]):
    """Class labels, shape (objects,), with the :class:`Trace` of the objects.

    Indexing, ``np.concatenate``, copies and elementwise arithmetic keep the trace; any other operation gives labels without one,
    which packing finds out.
    """

    carried: Trace | None

    def __new__(cls, labels: Any, trace: Trace) -> TracedLabels:
        traced = np.asarray(labels).view(cls)
        traced.carried = trace
        return traced

    def __array_finalize__(self, source: Any) -> None:
        self.carried = None

    def _as(self, labels: Any, trace: Trace | None) -> Any:
        labels = np.asarray(labels)
        return labels if trace is None else TracedLabels(labels, trace)

    def _rows(self) -> NDArray[np.int64]:
        return np.arange(len(self))

    def __getitem__(self, index: Any) -> Any:
        labels = np.asarray(self)[index]
        if self.carried is None or not isinstance(labels, np.ndarray) or labels.ndim != 1:
            return labels
        return self._as(labels, self.carried.taken(self._rows()[index]))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        plain = [_plain(value) for value in inputs]
        if out is not None:
            kwargs["out"] = _plain(out)
        result = getattr(ufunc, method)(*plain, **kwargs)
        if out is not None:
            return out[0] if len(out) == 1 else out
        traces = [value.carried for value in inputs if isinstance(value, TracedLabels)]
        if method == "__call__" and len(traces) == 1 and isinstance(result, np.ndarray) and result.shape == self.shape:
            return self._as(result, traces[0])
        return result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in (np.concatenate, np.hstack):
            return _joined(func, *args, **kwargs)
        plain = [_plain(value) for value in args]
        if func in _PICKING and args and args[0] is self and self.carried is not None and "out" not in kwargs:
            labels = func(*plain, **kwargs)
            rows = func(self._rows(), *plain[1:], **kwargs)
            return self._as(labels, self.carried.taken(rows)) if getattr(rows, "ndim", 0) == 1 else labels
        return func(*plain, **{key: _plain(value) for key, value in kwargs.items()})

    def sort(self, *args: Any, **kwargs: Any) -> None:
        super().sort(*args, **kwargs)
        self.carried = None

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        return self._as(np.asarray(self).astype(*args, **kwargs), self.carried)

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        return self._as(np.asarray(self).copy(*args, **kwargs), self.carried)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __reduce__(self) -> Any:
        return _rebuilt, (np.asarray(self), self.carried)


def _plain(value: Any) -> Any:
    """A value with the arrays in place of traced labels, also in lists and tuples."""
    if isinstance(value, TracedLabels):
        return np.asarray(value)
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _rebuilt(labels: Any, trace: Trace | None) -> Any:
    return labels if trace is None else TracedLabels(labels, trace)


def _joined(func: Any, arrays: Any, *args: Any, **kwargs: Any) -> Any:
    labels = func([np.asarray(array) for array in arrays], *args, **kwargs)
    traces = [array.carried for array in arrays if isinstance(array, TracedLabels) and array.carried is not None]
    # Every object needs a trace; an array without one may join in where it brings no objects.
    complete = sum(len(trace.index) for trace in traces) == len(labels)
    return TracedLabels(labels, Trace.joined(traces)) if traces and complete else labels


def trace_of(results: dict[str, Any]) -> Trace | None:
    """The trace of a picture's objects; None where its labels have none."""
    return getattr(results.get(LABELS), "carried", None)


def trace(results: dict[str, Any], weights: NDArray[np.float32] | None = None) -> None:
    """Gives an unmixed picture's labels a trace, and a picture of which nothing was loaded an origin without a name.

    Args:
        results: The picture. One whose objects differ has its trace already, or has lost it for good.
        weights: The objects' weights. Default: 1 each.
    """
    provenance: Provenance = results.setdefault(PROVENANCE, Provenance())
    labels = results.get(LABELS)
    if trace_of(results) is None and isinstance(labels, np.ndarray) and (weights is not None or not provenance.needs_trace):
        weights = np.ones(len(labels), np.float32) if weights is None else weights
        origins = [part.origin for part in provenance.parts]
        results[LABELS] = TracedLabels(labels, Trace(origins, np.zeros(len(labels), np.int64), weights))


def carry_everywhere() -> None:
    """Makes ``Albu``, ``PackDetInputs``, ``PackTrackInputs`` and their subclasses keep provenance; called once, on import."""
    wrap_everywhere(Albu, "transform", _keeping_rows)
    wrap_everywhere(PackDetInputs, "transform", _packing)
    wrap_everywhere(PackTrackInputs, "transform", _packing_frames)


def _keeping_rows(augment: Callable[[Any, Any], Any], step: Any, results: Any) -> Any:
    """Albumentations makes lists of the labels and arrays of the lists: it is given row numbers instead, and gives some back."""
    if trace_of(results) is None:
        return augment(step, results)
    labels = results[LABELS]
    augmented = augment(step, {**results, LABELS: np.arange(len(labels))})
    if augmented is not None:
        augmented[LABELS] = labels[np.asarray(augmented[LABELS], dtype=np.int64)]
    return augmented


def _packing(pack: Callable[[Any, Any], Any], step: Any, results: Any) -> Any:
    if PROVENANCE not in results:
        return pack(step, results)
    bare, objects = _unpacked(results)
    packed = pack(step, bare)
    _give(packed["data_samples"], results[PROVENANCE], objects, results.get(IGNORED))
    return packed


def _packing_frames(pack: Callable[[Any, Any], Any], step: Any, results: Any) -> Any:
    """A video's results are lists, an entry a frame."""
    if PROVENANCE not in results:
        return pack(step, results)
    frames = [
        {key: results[key][number] for key in (PROVENANCE, LABELS, IGNORED, "img_path") if key in results}
        for number in range(len(results[PROVENANCE]))
    ]
    bare = {key: value for key, value in results.items() if key != PROVENANCE}
    unpacked = [_unpacked(frame) for frame in frames]
    if LABELS in results:
        bare[LABELS] = [frame[LABELS] for frame, _ in unpacked]
    packed = pack(step, bare)
    for sample, frame, (_, objects) in zip(packed["data_samples"].video_data_samples, frames, unpacked):
        _give(sample, frame[PROVENANCE], objects, frame.get(IGNORED))
    return packed


def _unpacked(results: dict[str, Any]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The results as they would be without weights, and the fields of the objects.

    Raises:
        WeightError: Objects differ in what they weigh, and a step of the pipeline lost which of them weighs what.
    """
    provenance: Provenance = results[PROVENANCE]
    bare = {key: value for key, value in results.items() if key != PROVENANCE}
    labels = results.get(LABELS)
    if labels is None:
        return bare, {}
    traced = trace_of(results)
    if traced is None:
        if provenance.needs_trace and len(labels):
            raise WeightError(_lost(results))
        traced = Trace([], np.zeros(0, np.int64), np.zeros(0, np.float32))
    else:
        bare[LABELS] = np.asarray(labels)
    objects: dict[str, NDArray[Any]] = {}
    if provenance.objects_weighted and (traced.weights != 1).any():
        objects[OBJECT_WEIGHTS] = traced.weights
    origins = [part.origin for part in provenance.parts]
    if len(traced.origins) > 1 or len(origins) > 1:
        parts = np.array([origins.index(origin) if origin in origins else -1 for origin in traced.origins], dtype=np.int64)
        numbers = parts[traced.index]
        if (numbers < 0).any():
            raise WeightError(
                f"{_pipeline_of(results)}: a step mixed in objects of another picture, and its share of the background is not "
                "known. A mixing step of your own says so by headweights.mmdet.record_mix."
            )
        if len(origins) > 1:
            objects[OBJECT_ORIGINS] = numbers
    return bare, objects


def _give(sample: Any, provenance: Provenance, objects: dict[str, NDArray[Any]], ignored: Any) -> None:
    """Puts a picture's parts and its objects' fields where a :class:`~headweights.mmdet.batch.Picture` looks for them."""
    sample.set_metainfo({ORIGINS: provenance.parts})
    for name, values in objects.items():
        if ignored is None:
            sample.gt_instances[name] = torch.from_numpy(values.copy())
        else:
            for instances, kept in ((sample.gt_instances, ignored == 0), (sample.ignored_instances, ignored == 1)):
                instances[name] = torch.from_numpy(values[np.asarray(kept)])


def _lost(results: dict[str, Any]) -> str:
    return (
        f"{_pipeline_of(results)}: a step between LoadLossWeights and packing replaced gt_bboxes_labels by an array that "
        "does not know the objects' weights any more. Steps that index, concatenate or copy the labels keep them; steps that "
        "build them anew, e.g. by np.array(list), do not. Leave the step out, or give the objects no weights "
        "(LoadLossWeights(objects=False)) and mix no pictures that weigh differently."
    )


def _pipeline_of(results: dict[str, Any]) -> str:
    names = [part.origin.dataset for part in results[PROVENANCE].parts]
    named = " and ".join(repr(name) for name in dict.fromkeys(names) if name) or "(unnamed)"
    return f"the pipeline of data set {named}, image {results.get('img_path')!r}"

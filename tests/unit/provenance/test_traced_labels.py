"""TracedLabels: what keeps the objects' origins and weights, and what loses them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from support.scenes import weight_of

from headweights.provenance.labels import ObjectProvenance, TracedLabels
from headweights.provenance.origin import Origin

A = Origin("a")


def traced(labels: list[int], origin: Origin = A) -> TracedLabels:
    weights = np.array([weight_of(label) for label in labels], dtype=np.float32)
    return TracedLabels(np.array(labels, dtype=np.int64), ObjectProvenance.of_one(origin, len(labels), weights))


KEEPING = {
    "a mask": lambda x: x[np.array([True, False, True, True, False])],
    "numbers": lambda x: x[[3, 1, 1]],
    "a tensor": lambda x: x[torch.tensor([4, 0])],
    "a slice": lambda x: x[::-1],
    "where": lambda x: x[np.where(np.asarray(x) > 2)[0]],
    "an ellipsis": lambda x: x[...],
    "take": lambda x: np.take(x, [2, 0]),
    "delete": lambda x: np.delete(x, 1),
    "flip": lambda x: np.flip(x),
    "concatenate": lambda x: np.concatenate((x, x[1:3]), axis=0),
    "hstack": lambda x: np.hstack([x[:2], x]),
    "with an empty array": lambda x: np.concatenate([np.zeros(0, dtype=np.int64), x]),
    "copy": lambda x: x.copy(),
    "np.copy": lambda x: np.copy(x),
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "astype": lambda x: x.astype(np.int32),
}


@pytest.mark.parametrize("name", KEEPING)
def test_picking_joining_and_copying_keep_the_trace(name: str) -> None:
    labels = KEEPING[name](traced([7, 1, 2, 5, 4]))
    plain = KEEPING[name](np.array([7, 1, 2, 5, 4]))
    assert np.array_equal(np.asarray(labels), np.asarray(plain))
    assert labels.provenance.weights.tolist() == [np.float32(weight_of(int(label))) for label in plain]


@pytest.mark.parametrize("change", [lambda x: x + 1, lambda x: x * 0, lambda x: 5 - x], ids=["+", "*", "-"])
def test_elementwise_arithmetic_changes_the_class_and_keeps_the_trace(change: Any) -> None:
    labels = traced([7, 1, 2])
    assert change(labels).provenance is labels.provenance
    assert np.array_equal(np.asarray(change(labels)), change(np.array([7, 1, 2])))


def in_place(labels: Any) -> Any:
    labels.sort()
    return labels


LOSING = {
    "sort": np.sort,
    "sort in place": in_place,
    "compress": lambda x: np.compress([1, 0, 1], x),
    "vstack": lambda x: np.vstack([x, x]),
    "unique": np.unique,
    "np.array": np.array,
    "tolist": lambda x: np.array(x.tolist()),
    "reshape": lambda x: x.reshape(-1, 1),
    "view": lambda x: x.view(),
    "two arrays": lambda x: x + np.array([[1], [2]]),
}


@pytest.mark.parametrize("name", LOSING)
def test_what_is_not_understood_loses_the_trace_and_keeps_the_labels(name: str) -> None:
    labels = LOSING[name](traced([7, 1, 2]))
    assert getattr(labels, "provenance", None) is None
    assert np.array_equal(np.asarray(labels), LOSING[name](np.array([7, 1, 2])))


def test_one_label_is_a_number() -> None:
    assert traced([7, 1])[0] == 7
    assert isinstance(traced([7, 1])[0], np.int64)


def test_joining_merges_equal_origins() -> None:
    labels = np.concatenate([traced([1], Origin("a", {"": 0.3})), traced([2], Origin("b")), traced([4], Origin("a", {"": 0.3}))])
    assert labels.provenance.origins == (Origin("a", {"": 0.3}), Origin("b"))
    assert labels.provenance.index.tolist() == [0, 1, 0]


def test_labels_without_provenance_join_as_objects_of_unknown_origin() -> None:
    for labels in (np.concatenate([traced([1]), np.array([2, 4])]), np.hstack([traced([1]), [2, 4]])):
        assert labels.tolist() == [1, 2, 4]
        assert labels.provenance.origins == (A, None)
        assert labels.provenance.index.tolist() == [0, 1, 1]
        assert labels.provenance.weights.tolist() == [np.float32(weight_of(1)), 1, 1]


def test_an_image_whose_objects_are_all_gone_is_still_an_origin() -> None:
    labels = np.concatenate([traced([1]), traced([2], Origin("b"))[:0]])
    assert labels[:1].provenance.origins == (A, Origin("b"))

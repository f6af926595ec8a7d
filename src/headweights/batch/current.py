"""The batch whose losses are being computed, for whoever computes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# A framework's batch: a headweights.batch.batch.Batch with what the framework adds.
_current: ContextVar[Any] = ContextVar("headweights_batch", default=None)
_all_one: ContextVar[bool] = ContextVar("headweights_all_one", default=False)


@contextmanager
def publishing(batch: Any) -> Iterator[None]:
    """Makes a batch the current one while the block runs."""
    token = _current.set(batch)
    try:
        yield
    finally:
        _current.reset(token)


def published() -> Any:
    """Returns the current batch, or None outside of a loss computation."""
    return _current.get()


@contextmanager
def all_one() -> Iterator[None]:
    """Makes every image and object weigh 1 while the block runs: the losses are those of the stock heads."""
    token = _all_one.set(True)
    try:
        yield
    finally:
        _all_one.reset(token)


def weighs() -> bool:
    """Whether weights count here, as they do outside of :func:`all_one`."""
    return not _all_one.get()

"""What all tests share: their order, one thread per process, fast config dumps, and Ctrl-C in background jobs."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

# yapf's first import writes a cache that other processes may read half written. So the main process imports it here, before it
# starts the others. It comes with mmdetection, which the tests of other frameworks do without.
try:
    from yapf.yapflib import yapf_api
except ModuleNotFoundError:
    yapf_api = None

# Detectors as narrow as these gain nothing from more threads, which wait for each other beside other work. The variable is for
# the processes that tests start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# A test does not fail because the machine is busy.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the tests of a group one after the other, so that what they share is built once and then freed.

    Groups come first, then slow tests, then short ones, so that all processes finish at about the same time. What the tests of
    the group "forked" start is forked from one process, which loads mmdetection once.
    """
    first: dict[str, int] = {}

    def rank(item: pytest.Item) -> tuple[int, int]:
        group = item.get_closest_marker("xdist_group")
        if group is not None:
            return 0, first.setdefault(str(group.args[0]), len(first))
        return 1 if item.get_closest_marker("slow") else 2, 0

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Keeps the garbage collector away from everything that was imported, since it stays anyway."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def ugly_configs() -> Iterator[None]:
    """Skips the formatting of config dumps, which takes most of the time of a short training."""
    with pytest.MonkeyPatch.context() as patch:
        if yapf_api is not None:
            patch.setattr(yapf_api, "FormatCode", lambda text, **style: (text, True))
        yield


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Makes this process and those that it starts react to Ctrl-C.

    A background job of a script starts with SIGINT ignored, and its child processes inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

"""What all tests share: their order, one thread a process, little time for what is not tested, and Ctrl-C where it is."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest
import torch
import yapf.yapflib.yapf_api  # noqa: F401
from hypothesis import HealthCheck, settings

# yapf's first import writes a cache that other processes may read half written. So the main process imports it (above), before
# it starts the others.

# On detectors as narrow as these, and beside other work, more threads wait for each other.
torch.set_num_threads(1)

# A busy machine makes no test wrong.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a group come one after the other, so that what they share is built once and then let go.

    They come first, then the slow ones, then the short ones: so the processes come to an end together.
    """
    first: dict[str, int] = {}

    def rank(item: pytest.Item) -> tuple[int, int]:
        group = item.get_closest_marker("xdist_group")
        if group is not None:
            return 0, first.setdefault(str(group.args[0]), len(first))
        return 1 if item.get_closest_marker("slow") else 2, 0

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Has the garbage collector pass over all that was imported, which stays anyway."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def ugly_configs() -> Iterator[None]:
    """Trainings as short as these spend most of their time on making the text of their configs pretty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **style: (text, True))
        yield


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Has Ctrl-C heard, in this process and in those that it starts.

    A job in the background of a script is started with SIGINT ignored, and all that it starts inherits that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

"""What all tests share: one thread a process, and Ctrl-C where it is tested."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import torch

# On detectors as narrow as these, and beside other work, more threads wait for each other.
torch.set_num_threads(1)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Has Ctrl-C heard, in this process and in those that it starts.

    A job in the background of a script is started with SIGINT ignored, and all that it starts inherits that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

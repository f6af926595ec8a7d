"""Loads mmdetection, without a word. The demo's processes are forked from one that has imported this."""

import contextlib

from headweights.check.quiet import quiet

# An error is told by the process that trains, which imports the same.
with quiet(), contextlib.suppress(Exception):
    import headweights.demo.training  # noqa: F401

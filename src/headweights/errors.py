"""The one error that a user of headweights meets."""

from __future__ import annotations


class WeightError(ValueError):
    """A weight that cannot be meant: its value, its field or its place is wrong. The message says which, and what is valid."""

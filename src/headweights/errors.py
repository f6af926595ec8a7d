"""The error that users of headweights see."""

from __future__ import annotations


class WeightError(ValueError):
    """A weight whose value, field or place is wrong. The message names it and says what is valid."""

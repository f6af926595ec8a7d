"""A weight: a real number, finite and not negative."""

from __future__ import annotations

import math
import numbers
from typing import Any

from headweights.errors import WeightError

# Losses are computed in 32 bits at most, where a larger weight would be infinite.
_LARGEST = 3.4e38


def checked_weight(value: Any, where: str) -> float:
    """Checks a weight and returns it as a float.

    Args:
        value: What the user gave: any real number >= 0 (Python's or NumPy's), but no bool, string or tensor.
        where: The subject of the error's sentence, e.g. ``"AddFieldToImgMetas: field 'rpn_head.loss_weight'"``.

    Raises:
        WeightError: The value is not a number, or it is negative, infinite or NaN.
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        raise WeightError(f"{where} is {value!r}, a bool; a loss weight is a number >= 0 (1 for full weight, 0 for none).")
    if not isinstance(value, numbers.Real):
        raise WeightError(
            f"{where} is {value!r} of type {type(value).__name__}; a loss weight is a real number >= 0, such as 0.3."
        )
    try:
        weight = float(value)
    except OverflowError:  # an integer beyond any float
        weight = math.inf
    if math.isnan(weight) or abs(weight) > _LARGEST:
        raise WeightError(f"{where} is {value!r}; a loss weight is finite, also as a float32.")
    if weight < 0:
        raise WeightError(f"{where} is {value!r}; a loss weight is not negative (0 takes the images out of the head's loss).")
    return weight

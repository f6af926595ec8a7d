"""A weight is a real number, finite and not negative; everything else is refused with its value in the message."""

from __future__ import annotations

import decimal
import fractions
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headweights import WeightError, checked_weight


@given(st.floats(min_value=0, max_value=3.4e38, allow_nan=False) | st.integers(min_value=0, max_value=10**9))
def test_a_number_from_zero_up_is_itself(value: float) -> None:
    assert checked_weight(value, where="here") == float(value)


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.int64(2), fractions.Fraction(1, 2)])
def test_numbers_of_other_kinds_become_floats(value: Any) -> None:
    weight = checked_weight(value, where="here")
    assert type(weight) is float
    assert weight == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "bool"),
        (False, "bool"),
        (np.bool_(True), "bool"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        (np.float32("nan"), "finite"),
        (-0.1, "negative"),
        (-1, "negative"),
        ("0.3", "real number"),
        (None, "real number"),
        ([0.3], "real number"),
        (1j, "real number"),
        (decimal.Decimal("0.3"), "real number"),
        (torch.tensor(0.3), "real number"),
        (np.array(0.3), "real number"),
    ],
)
def test_anything_else_is_refused_by_name_and_value(value: Any, reason: str) -> None:
    with pytest.raises(WeightError, match=reason) as error:
        checked_weight(value, where="field 'rpn_head.loss_weight'")
    assert "field 'rpn_head.loss_weight'" in str(error.value)
    assert repr(value) in str(error.value)

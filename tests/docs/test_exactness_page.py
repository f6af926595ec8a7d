"""docs/exactness.md: the oracle in small runs, and what the page says of the tests is true of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.zoo import ZOO

from headweights import gate_gradient

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "exactness.md").read_text()


def test_the_oracle_in_small_sees_a_wrong_weight() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["gate_gradient"] is gate_gradient
    with pytest.raises(AssertionError):
        exec(code.replace("gate_gradient(predictions, weights)", "predictions", 1), {})


def test_the_zoo_is_as_large_as_the_page_says() -> None:
    (least,) = re.findall(r"more than (\d+)", PAGE)
    assert len({arch.config for arch in ZOO}) > int(least)

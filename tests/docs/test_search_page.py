"""The page about the search: its code runs, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from headweights.search import Effects, Screening

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "search.md").read_text()
PYTHON, TEXT = (re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL) for language in ("python", "text"))
LABELS, BOXES = "wrong_labels: loss_cls", "wrong_boxes: loss_cls"


def train(weights: dict[str, float]) -> float:
    """The result that the page speaks of, with noise of 0.002."""
    noise = np.random.default_rng([int(10 * weight) for weight in weights.values()]).normal(0, 0.002)
    return float(0.4 - 0.2 * (weights.get(LABELS, 1) - 0.1) + 0.1 * (weights.get(BOXES, 1) - 0.1) + noise)


def test_the_screening(capsys: pytest.CaptureFixture[str]) -> None:
    trained: list[dict[str, float]] = []
    names = {"train": lambda weights: [trained.append(weights), train(weights)][1]}
    exec(PYTHON[0], names)
    assert capsys.readouterr().out == TEXT[0]
    assert len(trained) == 8 + 1
    found = names["found"]
    assert isinstance(found, Screening)
    assert trained[-1] == {**dict.fromkeys(trained[0], 1.0), LABELS: 0.1}


def test_on_many_machines() -> None:
    names: dict[str, object] = {"train": train}
    exec(PYTHON[1], names)
    assert isinstance(names["effects"], Effects)
    assert len(PYTHON) == 2

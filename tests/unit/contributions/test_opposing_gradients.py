"""Cosines are kept by data set, so that no name of a data set is ever split."""

from __future__ import annotations

import pytest
import torch

from headweights.contributions.sums import Sums
from headweights.contributions.words import opposing

AMBIGUOUS = "real vs drawn"


def test_a_cosine_is_named_after_both_data_sets() -> None:
    vectors = {AMBIGUOUS: [2.0, 0.0, 0.0, 0.0], "rendered": [-1.0, 1.0, 1.0, 1.0], "zero": [0.0, 0.0, 0.0, 0.0]}
    sums = Sums(vectors={("head", dataset): torch.tensor(vector) for dataset, vector in vectors.items()})
    assert sums.cosines() == {("head", AMBIGUOUS, "rendered"): -0.5}
    assert {entry.name: value for entry, value in sums.entries().items()} == {
        "gradient_cosine/head/real vs drawn vs rendered": -0.5
    }


@pytest.mark.parametrize("target", [None, "rendered", AMBIGUOUS, "another"])
def test_the_target_is_what_is_opposed(target: str | None) -> None:
    (found,) = opposing({("head", AMBIGUOUS, "rendered"): [1.0, 1.0, -0.25, -0.75]}, target)
    assert {found.one, found.other} == {AMBIGUOUS, "rendered"}
    assert found.one != target
    assert str(found) == f"In head, {found.one}'s gradient opposes {found.other}'s (mean cosine -0.50)"
    assert found.measurements == 2


@pytest.mark.parametrize("cosines", [[], [0.0], [-1.0, -1.0, 0.5, 0.5]])
def test_only_the_last_half_counts(cosines: list[float]) -> None:
    assert opposing({("head", "a", "b"): cosines}, None) == []

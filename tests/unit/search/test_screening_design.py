"""The designs: balanced, as small as they can be with a column to spare, and honest about what they mix up."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headweights import WeightError
from headweights.search import Design, Factor


def design(factors: int, fold_over: bool = False) -> Design:
    return Design([Factor(f"factor {number}") for number in range(factors)], fold_over)


@given(st.integers(1, 60), st.booleans())
def test_every_pair_of_columns_has_all_four_combinations_equally_often(factors: int, fold_over: bool) -> None:
    signs = design(factors, fold_over).signs
    assert set(signs.flatten()) == {-1, 1}
    assert (signs.T @ signs == len(signs) * np.eye(signs.shape[1])).all()
    assert (signs.sum(axis=0) == 0).all()
    assert signs.shape[1] > factors, "a column to spare"


@pytest.mark.parametrize(("factors", "runs"), [(1, 4), (2, 4), (3, 8), (6, 8), (7, 12), (10, 12), (11, 16), (15, 20), (19, 24)])
def test_it_is_the_smallest(factors: int, runs: int) -> None:
    assert len(design(factors).runs) == runs
    assert len(design(factors, fold_over=True).runs) == 2 * runs


def test_the_runs_have_the_levels_of_each_factor() -> None:
    runs = Design([Factor("a"), Factor("b", 1, 4)]).runs
    assert sorted((run["a"], run["b"]) for run in runs) == list(product((0.1, 1.0), (1, 4)))


@given(st.integers(3, 12))
def test_what_is_mixed_with_an_effect_is_what_an_interaction_adds_to_it(factors: int) -> None:
    of = design(factors)
    name = of.names[0]
    columns = dict(zip(of.names, of.signs.T))
    for one, other in combinations(of.names[1:], 2):
        # A result that is nothing but the interaction, by which it changes from -1/2 to 1/2.
        result = columns[one] * columns[other] / 2
        effect = result[columns[name] > 0].mean() - result[columns[name] < 0].mean()
        assert of.mixed_with(name).get((one, other), 0.0) == pytest.approx(effect)


@pytest.mark.parametrize("factors", [2, 3, 4])
def test_a_few_factors_are_not_mixed_with_interactions(factors: int) -> None:
    of = design(factors)
    assert not any(of.mixed_with(name) for name in of.names)
    runs = {tuple(run.values()) for run in of.runs}
    assert len(runs) == len(of.runs), "no training is repeated"


@given(st.integers(3, 20))
def test_after_a_fold_over_no_interaction_of_two_is_mixed_with_an_effect(factors: int) -> None:
    of = design(factors, fold_over=True)
    assert not any(of.mixed_with(name) for name in of.names)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([], "a screening needs factors with different names; it has none"),
        ([("a", 0.1, 1.0), ("a", 0.1, 2.0)], "it has 'a', 'a'"),
        ([("a", 1.0, 1.0)], "factor 'a': low is 1 and high is 1; low must be smaller"),
        ([("a", 0.0, float("nan"))], "factor 'a' has the levels .0.0, nan."),
        ([("", 0.1, 1.0)], "it needs a name and two finite numbers"),
    ],
)
def test_what_is_no_design(factors: list[tuple[str, float, float]], message: str) -> None:
    with pytest.raises(WeightError, match=message):
        Design([Factor(*given) for given in factors])

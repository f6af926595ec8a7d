"""The block as it is written in a config: what can be read of it, and everything that is wrong with the rest, at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headweights import WeightError
from headweights.weights.block import parse_block, read_block
from headweights.weights.schedules import Constant, Schedule

COSINE = dict(schedule="cosine", points=[(0, 1.0), (12, 0.1)], by="epoch")


def test_a_number_speaks_of_every_head_and_a_table_of_targets() -> None:
    block = parse_block(dict(real=1.0, synthetic={"rpn_head": 2, "roi_head.loss_weight": 0.2, "": 0.5, "bbox_head": COSINE}))
    assert block == {
        "real": {"": Constant(1.0)},
        "synthetic": {
            "rpn_head": Constant(2.0),
            "roi_head": Constant(0.2),
            "": Constant(0.5),
            "bbox_head": Schedule("cosine", ((0, 1.0), (12, 0.1)), "epoch"),
        },
    }


def test_a_schedule_of_a_data_set_speaks_of_every_head() -> None:
    assert parse_block(dict(real=COSINE)) == {"real": {"": Schedule("cosine", ((0, 1.0), (12, 0.1)), "epoch")}}


def test_the_field_loss_weight_is_every_head() -> None:
    assert parse_block(dict(real={"loss_weight": 0.5})) == {"real": {"": Constant(0.5)}}


def test_everything_wrong_is_said_at_once_and_the_rest_is_read() -> None:
    block, problems = read_block(
        {"real": -1, "synthetic": {"rpn_head": "much", "roi_head": 0.2, 3: 1.0}, 7: 1.0, "": 1.0, "web": {"a": True, "b": COSINE}}
    )
    assert set(block["synthetic"]) == {"roi_head"} and set(block["web"]) == {"b"}
    assert len(problems) == 6
    for words in ("'real' is -1", "'synthetic', 'rpn_head' is 'much'", "3 is no target", "7 is no name", "'' is no name", "bool"):
        assert any(words in problem for problem in problems), words
    with pytest.raises(WeightError) as error:
        parse_block({"real": -1, "synthetic": float("inf")})
    assert str(error.value).count("\n") == 1


@pytest.mark.parametrize("twice", [{"rpn_head": 1.0, "rpn_head.loss_weight": 2.0}, {"": 1.0, "loss_weight": 1.0}])
def test_a_target_that_is_spelt_in_both_ways_is_given_twice(twice: dict[str, float]) -> None:
    with pytest.raises(WeightError, match="given twice"):
        parse_block({"real": twice})


@pytest.mark.parametrize("wrong", [None, 3, "real", [("real", 1.0)], True])
def test_a_block_is_a_table(wrong: Any) -> None:
    with pytest.raises(WeightError, match="it must be a table"):
        parse_block(wrong)


keys = st.one_of(st.text(max_size=5), st.integers(), st.none(), st.sampled_from(["schedule", "points", "by", "rpn_head"]))
garbage = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5), st.binary(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(keys, inner, max_size=3), st.sets(st.integers())
    ),
    max_leaves=8,
)


@given(garbage)
@example({"0": 0.0})
def test_garbage_is_an_error_in_words_or_a_block_of_weights(given: Any) -> None:
    try:
        block = parse_block(given)
    except WeightError as error:
        assert str(error)
    else:
        assert all(weight.at(0, 0) >= 0 for weights in block.values() for weight in weights.values())

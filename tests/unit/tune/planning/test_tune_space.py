"""What is searched, without any framework."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headweights.errors import WeightError
from headweights.tune.planning.space import Space, rounded, top_heads
from headweights.weights.addresses import AddressBook
from headweights.weights.block import parse_block

BOOK = AddressBook({"rpn_head": ("loss_cls", "loss_bbox"), "roi_head.bbox_head": ("loss_cls", "loss_bbox")})
SPACE = Space("real", ("rendered",), ("rpn_head", "roi_head"), 0.1, 1.0)
CLS = "roi_head.bbox_head.loss_cls"


def test_a_parameter_for_every_other_data_set_and_head() -> None:
    space = Space("b", ("a: x", "c"), ("rpn_head", CLS))
    assert list(space.parameters.values()) == [("a: x", "rpn_head"), ("a: x", CLS), ("c", "rpn_head"), ("c", CLS)]
    assert set(space.unweighted.values()) == {1.0}


def test_how_often_a_data_set_is_drawn_is_a_parameter_and_no_weight() -> None:
    space = Space("b", ("a", "c"), ("rpn_head",), 0.2, 2.0, sampled=True)
    assert list(space.parameters) == ["a: rpn_head", "a: drawn", "c: rpn_head", "c: drawn"]
    assert list(space.weights) == ["a: rpn_head", "c: rpn_head"]
    assert [(factor.name, factor.low, factor.high) for factor in space.factors][1] == ("a: drawn", 0.2, 2.0)
    assert space.range == pytest.approx((0.2 / 3, 6))
    values = {**space.unweighted, "a: drawn": 0.12345}
    assert space.rates(space.unweighted) == {} and space.rates(values) == {"b": 1.0, "a": 0.123, "c": 1.0}
    assert space.block({}, values) == {"b": 1.0, "a": {"rpn_head": 1.0}, "c": {"rpn_head": 1.0}}
    assert space.own(parse_block(dict(a=0.5)), BOOK, False) == ({**space.unweighted, "a: rpn_head": 0.5}, "")


def test_the_block_has_the_target_at_1_and_keeps_what_is_not_searched() -> None:
    chosen = {"rendered: rpn_head": 0.123456, "rendered: roi_head": 2.0}
    assert SPACE.block({}, chosen) == {"real": 1.0, "rendered": {"rpn_head": 0.123, "roi_head": 2.0}}
    late = dict(schedule="linear", points=[[0, 1.0], [3, 0.5]], by="epoch")
    given = dict(real={"rpn_head": 2.0, CLS: 0.5}, rendered={"": 0.7, "roi_head.loss_weight": 5, CLS: late})
    assert SPACE.block(given, chosen) == {
        "real": {CLS: 0.5, "rpn_head": 1.0, "roi_head": 1.0},
        "rendered": {"": 0.7, CLS: late, "rpn_head": 0.123, "roi_head": 2.0},
    }
    assert SPACE.kept(given, BOOK) == [("real", CLS), ("rendered", CLS)]


@pytest.mark.parametrize(
    ("weights", "normalize", "expected"),
    [
        (dict(rendered=0.5), False, {"rendered: rpn_head": 0.5, "rendered: roi_head": 0.5}),
        (dict(rendered={"": 0.5, "roi_head": 0.2}), False, {"rendered: rpn_head": 0.5, "rendered: roi_head": 0.2}),
        (dict(rendered={CLS: 0.5}), False, None),
        (dict(real=2.0, rendered=dict(rpn_head=0.5)), True, {"rendered: rpn_head": 0.25, "rendered: roi_head": 0.5}),
        (dict(real=1.0, rendered=1), True, None),
        ({}, True, None),
    ],
)
def test_a_configs_own_weights_are_parameters(weights: Any, normalize: bool, expected: dict[str, float] | None) -> None:
    assert SPACE.own(parse_block(weights), BOOK, normalize) == (expected, "")


@pytest.mark.parametrize(
    ("weights", "normalize", "why"),
    [
        (dict(real=2.0), False, "'real' weighs 2 in rpn_head, but 1 in the search"),
        (dict(real=0), True, "'real' weighs 0"),
        (dict(rendered=0.01), True, "'rendered' weighs 0.01 in rpn_head, outside 0.033 to 3"),
        (dict(real=4, rendered=0.1), True, "weighs 0.025 times as much as 'real'"),
        (dict(rendered=dict(schedule="step", points=[(0, 1), (2, 0.5)], by="iter")), True, "change over time in rpn_head"),
    ],
)
def test_own_weights_that_cannot_be_tried_are_explained(weights: Any, normalize: bool, why: str) -> None:
    own, reason = SPACE.own(parse_block(weights), BOOK, normalize)
    assert own is None and why in reason


@pytest.mark.parametrize(("low", "high"), [(0, 3), (-1, 3), (2, 3), (0.1, 0.9), (1, 1), (3, 0.1), (float("nan"), 3)])
def test_a_range_without_the_unweighted_detector_is_refused(low: float, high: float) -> None:
    with pytest.raises(WeightError, match="range"):
        Space("real", ("rendered",), ("rpn_head",), low, high)


def test_the_outermost_heads() -> None:
    paths = ["rpn_head", "roi_head.bbox_head.0", "roi_head.bbox_head.1", "student.roi_head.mask_head", "detector.mask_iou.x"]
    assert top_heads(paths) == ("rpn_head", "roi_head", "student.roi_head", "detector.mask_iou.x")


@given(st.floats(1e-6, 1e6))
def test_rounding_is_small_and_done_once(weight: float) -> None:
    assert rounded(weight) == pytest.approx(weight, rel=0.0051)
    assert rounded(rounded(weight)) == rounded(weight)

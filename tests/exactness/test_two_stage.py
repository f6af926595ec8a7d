"""Two-stage detectors from mmdetection's own configs, held against the pixel-gradient oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from support.detectors import (
    CASCADE_RCNN,
    FASTER_RCNN,
    FASTER_RCNN_4CONV1FC,
    FASTER_RCNN_C4,
    HTC,
    MASK_RCNN,
    make_batch,
    pair,
)
from support.oracle import assert_scaled, losses_of, parameter_gradients, pixel_gradients, summed
from torch import Tensor, nn

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5
RPN, ROI = "rpn_head.loss_weight", "roi_head.loss_weight"
PARTS = {
    "rpn": lambda name: "rpn" in name,
    "roi": lambda name: "rpn" not in name and "mask" not in name and "seg" not in name,
}
ARCHITECTURES = [FASTER_RCNN, FASTER_RCNN_C4, FASTER_RCNN_4CONV1FC, MASK_RCNN, CASCADE_RCNN, HTC]


@cache
def models(name: str) -> tuple[nn.Module, nn.Module]:
    return pair(name, "rpn_head", "roi_head.bbox_head")


@cache
def stock_gradients(name: str) -> dict[str, Tensor]:
    stock, _ = models(name)
    return pixel_gradients(stock, batch_of(name), PARTS)


def batch_of(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return make_batch(models(name)[0], list(fields) or None, with_semantic=name == HTC, sem_seg_output_strides=8)


@pytest.fixture(params=ARCHITECTURES, ids=lambda name: name.split("/")[-1].removesuffix(".py"))
def architecture(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def assert_heads_scaled(name: str, rpn: Sequence[float], roi: Sequence[float], *fields: dict[str, Any]) -> None:
    gradients = pixel_gradients(models(name)[1], batch_of(name, *fields), PARTS)
    assert_scaled(gradients["rpn"], stock_gradients(name)["rpn"], rpn, TOLERANCE)
    assert_scaled(gradients["roi"], stock_gradients(name)["roi"], roi, TOLERANCE)


def test_each_head_has_its_own_weights(architecture: str) -> None:
    assert_heads_scaled(architecture, (0.3, 5), (2, 0.7), {RPN: 0.3, ROI: 2}, {RPN: 5, ROI: 0.7})


def test_a_weight_of_zero_leaves_the_other_image_as_it_was(architecture: str) -> None:
    assert_heads_scaled(architecture, (0, 1), (1, 0), {RPN: 0, ROI: 1}, {RPN: 1, ROI: 0})


@pytest.mark.parametrize("name", [FASTER_RCNN, CASCADE_RCNN])
def test_one_head_only(name: str) -> None:
    assert_heads_scaled(name, (0.3, 5), (1, 1), {RPN: 0.3}, {RPN: 5})
    assert_heads_scaled(name, (1, 1), (0.3, 5), {ROI: 0.3}, {ROI: 5})


def test_an_image_without_weight_weighs_one() -> None:
    assert_heads_scaled(FASTER_RCNN, (0.3, 1), (1, 4), {RPN: 0.3}, {ROI: 4})


def test_weights_of_one_are_stock_bit_for_bit(architecture: str) -> None:
    stock, weighted = models(architecture)
    for fields in ((), ({RPN: 1, ROI: 1.0}, {RPN: 1.0, ROI: 1})):
        expected, expected_state = losses_of(stock, batch_of(architecture)), torch.get_rng_state()
        actual, actual_state = losses_of(weighted, batch_of(architecture, *fields)), torch.get_rng_state()
        assert torch.equal(actual_state, expected_state)
        assert expected.keys() == actual.keys()
        for key in expected:
            for one, other in zip(as_list(actual[key]), as_list(expected[key])):
                assert torch.equal(one, other), key
        gradients = parameter_gradients(weighted, summed(actual))
        for key, gradient in parameter_gradients(stock, summed(expected)).items():
            assert torch.equal(gradients[key], gradient), key


def test_the_logged_losses_are_the_weighted_ones(architecture: str) -> None:
    stock, weighted = models(architecture)
    expected = losses_of(stock, batch_of(architecture))
    actual = losses_of(weighted, batch_of(architecture, {RPN: 10, ROI: 10}, {RPN: 10, ROI: 10}))
    for key, stock_value in expected.items():
        factor = 10 if "loss" in key and not ("mask" in key or "seg" in key) else 1
        for one, other in zip(as_list(actual[key]), as_list(stock_value)):
            torch.testing.assert_close(one, factor * other, rtol=1e-5, atol=0, msg=key)


def test_a_term_and_a_stage_can_be_addressed_and_the_most_specific_wins() -> None:
    stock, weighted = models(CASCADE_RCNN)
    parts = {
        "s0_cls": lambda name: name == "s0.loss_cls",
        "s0_bbox": lambda name: name == "s0.loss_bbox",
        "s1_cls": lambda name: name == "s1.loss_cls",
        "s2_bbox": lambda name: name == "s2.loss_bbox",
    }
    expected = pixel_gradients(stock, batch_of(CASCADE_RCNN), parts)
    given = {
        ROI: 2,
        "roi_head.bbox_head.loss_cls.loss_weight": 3,
        "roi_head.bbox_head.0.loss_weight": 5,
        "roi_head.bbox_head.0.loss_cls.loss_weight": 7,
    }
    actual = pixel_gradients(weighted, batch_of(CASCADE_RCNN, given, {}), parts)
    for part, weight in {"s0_cls": 7, "s0_bbox": 5, "s1_cls": 3, "s2_bbox": 2}.items():
        assert_scaled(actual[part], expected[part], (weight, 1), TOLERANCE)


def test_stock_heads_under_the_address_are_left_alone_and_named(caplog: pytest.LogCaptureFixture) -> None:
    stock, _ = models(MASK_RCNN)
    _, weighted = pair(MASK_RCNN, "roi_head.bbox_head")
    mask = {"mask": lambda name: "mask" in name}
    expected = pixel_gradients(stock, batch_of(MASK_RCNN), mask)["mask"]
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headweights.mmdet.heads.model_heads.print_log", lambda message, logger: printed.append(message))
        for _ in range(2):
            actual = pixel_gradients(weighted, batch_of(MASK_RCNN, {ROI: 0.3}, {ROI: 5}), mask)["mask"]
    assert torch.equal(actual, expected)
    assert printed == [
        "headweights: roi_head.loss_weight acts on roi_head.bbox_head and leaves alone roi_head.mask_head (stock FCNMaskHead)"
    ]


def as_list(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, (list, tuple)) else [value]

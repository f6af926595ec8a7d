"""The background of every architecture of the zoo weighs what its own address says, and the objects what they weighed before."""

from __future__ import annotations

import pytest
import torch
from support.object_runs import (
    EVERY_ARCHITECTURE,
    Run,
    assert_factors,
    each,
    factors,
    ratios,
    stock_run,
    weighted_model,
    with_background,
)
from support.zoo import Architecture

pytestmark = pytest.mark.slow

every_architecture = each(EVERY_ARCHITECTURE)

# So few priors that an object takes each of them.
ALL_MATCHED = ("yolof",)

BACKGROUNDS = (0.25, 3.0)
# One architecture of each mechanism.
ONE_OF_EACH = ("retinanet", "atss", "fcos", "detr", "dino", "mask2former", "faster-rcnn", "sabl-faster-rcnn", "sparse-rcnn")


@every_architecture
def test_the_background_weighs_what_its_address_says_and_objects_weigh_1(arch: Architecture) -> None:
    actual = ratios(Run(arch, weighted_model(arch), backgrounds=BACKGROUNDS), stock_run(arch))
    of_image = ratios(Run(arch, weighted_model(arch), images=BACKGROUNDS), stock_run(arch))
    for path in with_background(arch):
        expected = [
            torch.where((factor - 1).abs() < 5e-3, image, torch.where(factor != 0, 1.0, 0.0))
            for factor, image in zip(factors(arch)[path], of_image[path])
        ]
        if arch.name not in ALL_MATCHED:
            assert any(((factor - 1).abs() < 5e-3).any() for factor in factors(arch)[path]), f"{path} has no background"
        assert_factors({path: actual[path]}, {path: expected})


@each([arch for arch in EVERY_ARCHITECTURE if arch.name in ONE_OF_EACH])
def test_a_background_of_1_is_stock_bit_for_bit(arch: Architecture) -> None:
    run, stock = Run(arch, weighted_model(arch), images=(1.0, 1.0), backgrounds=(1.0, 1.0)), stock_run(arch)
    for path, tensors in stock.gradients.items():
        for one, other in zip([*run.gradients[path], *run.shared[path]], [*tensors, *stock.shared[path]]):
            assert torch.equal(one, other), path

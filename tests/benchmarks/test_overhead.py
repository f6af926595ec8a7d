"""Weighting adds few operators to a step, no call that waits for the device, and nothing for each data set."""

from __future__ import annotations

import pytest
from overhead import DETECTORS, counted, difference, grouped
from steps.detector import mix_of

from headweights.weights.addresses import AddressBook

# FCOS has few operators and fifteen predictions, each of which is gated: 2.03 % of its operators.
ADDED = {"fcos": 36}


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_the_cost_of_weighting(name: str) -> None:
    detector = DETECTORS[name]
    stock, one, many = (counted(step) for step in (detector.stock(2), detector.weighted(2, 1), detector.weighted(2, 1000)))
    added = many.operators.total() - stock.operators.total()
    assert 0 < added <= ADDED.get(name, 0.02 * stock.operators.total()), difference(many.operators, stock.operators)
    assert many.operators == one.operators and many.bytes == one.bytes
    assert many.waits == stock.waits


def test_every_data_set_has_a_weight_of_its_own_in_every_loss() -> None:
    mix = mix_of(AddressBook({"rpn_head": ("loss_cls", "loss_bbox"), "roi_head.mask_head": ()}), data_sets=7)
    weights = [mix.weight(data_set, *term) for data_set in mix.datasets for term in mix.terms]
    assert len(set(weights)) == 7 * 3
    assert 1 not in weights


def test_numbers_of_data_sets_with_the_same_counts_share_a_row() -> None:
    assert grouped({1: "36", 8: "36", 1000: "40"}) == [("36", [1, 8]), ("40", [1000])]

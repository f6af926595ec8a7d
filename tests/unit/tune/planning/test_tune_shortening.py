"""Shorter trainings for a screening."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config

from headweights.errors import WeightError
from headweights.tune.planning.shortening import check_fraction, goes_by_epochs, shortened

EPOCHS = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1, dynamic_intervals=[(10, 1)])
STEPS = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
STEP = dict(schedule="step", points=[(0, 1), (2, 0.5)], by="epoch")


def test_a_training_is_shortened_with_its_schedulers() -> None:
    config = Config(dict(train_cfg=EPOCHS, param_scheduler=STEPS))
    short = shortened(config, 0.5)
    assert short.train_cfg.max_epochs == 6 and short.train_cfg.dynamic_intervals == [(5, 1)]
    warm_up, steps = short.param_scheduler
    assert (warm_up.begin, warm_up.end, warm_up.start_factor) == (0, 250, 0.001)
    assert (steps.end, steps.milestones, steps.gamma) == (6, [4, 6], 0.1)
    assert config.train_cfg.max_epochs == 12 and config.param_scheduler[1].milestones == [8, 11]


def test_schedulers_by_optimizer_and_a_single_one() -> None:
    loop = dict(type="IterBasedTrainLoop", max_iters=100)
    cosine = dict(type="CosineAnnealingLR", T_max=100)
    for given in (cosine, dict(generator=[cosine], other=cosine), None):
        short = shortened(Config(dict(train_cfg=loop, param_scheduler=given)), 0.25)
        assert short.train_cfg.max_iters == 25
        assert repr(short.param_scheduler) == repr(given).replace("100", "25")


@pytest.mark.parametrize(
    ("fraction", "loop", "weights", "said"),
    [
        (0, EPOCHS, {}, "--fraction is 0; it must be above 0"),
        (1.5, EPOCHS, {}, "--fraction is 1.5"),
        (0.5, dict(max_epochs=1), {}, "the training has 1 epochs; a fraction of it is no shorter"),
        (0.5, EPOCHS, dict(real=1.0, rendered=dict(rpn_head=STEP)), "weights of 'rendered' change over time"),
        (0.5, EPOCHS, dict(rendered=STEP), "weights of 'rendered' change over time"),
    ],
)
def test_what_cannot_be_shortened_is_said(fraction: float, loop: dict[str, Any], weights: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightError) as error:
        check_fraction(Config(dict(train_cfg=loop)), fraction, weights)
    assert said in str(error.value)
    check_fraction(Config(dict(train_cfg=loop)), 1.0, weights)


def test_the_loop_says_how_it_counts() -> None:
    assert goes_by_epochs(EPOCHS) and goes_by_epochs(dict(by_epoch=True)) and goes_by_epochs({})
    assert not goes_by_epochs(dict(type="IterBasedTrainLoop")) and not goes_by_epochs(dict(by_epoch=False))

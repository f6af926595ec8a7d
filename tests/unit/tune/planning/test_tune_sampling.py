"""The data sets that can be drawn at rates of their own."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config

from headweights.errors import WeightError
from headweights.tune.planning.sampling import check_sampling


class Parts:
    def __init__(self, datasets: int) -> None:
        self.datasets = [None] * datasets


@pytest.mark.parametrize(
    ("dataset", "sampler", "said"),
    [
        ([], "DefaultSampler", "must be a ConcatDataset of the data sets, so that each can be drawn"),
        (Parts(1), "DefaultSampler", "a Parts of 1 parts with 2 data sets"),
        (Parts(2), "ClassAwareSampler", "the config has ClassAwareSampler"),
        (Parts(2), None, "the config has None"),
    ],
)
def test_what_cannot_be_drawn_is_said(dataset: Any, sampler: str | None, said: str) -> None:
    config = Config(dict(train_dataloader=dict(sampler=sampler and dict(type=sampler))))
    with pytest.raises(WeightError) as error:
        check_sampling(config, dataset, 2)
    assert said in str(error.value)

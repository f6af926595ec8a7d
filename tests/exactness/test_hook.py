"""``LossWeightHook`` on a stock config does, bit for bit, what the seed's way does with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from support.coco import add_fields, pipeline, runner_config, write_dataset

pytestmark = pytest.mark.slow


class Losses(Hook):
    """Writes down every loss of every iteration, to the last bit."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.seen.append({name: float(value) for name, value in outputs.items()})


def trained(config: Any) -> list[dict[str, float]]:
    runner = Runner.from_cfg(config)
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    return losses.seen


def datasets(folder: Path, *weights: dict[str, float]) -> list[dict[str, Any]]:
    """Two data sets; with weights, the second has the seed's step."""
    real = dict(write_dataset(folder, "real", seed=1), pipeline=pipeline())
    rendered = dict(write_dataset(folder, "rendered", seed=2), pipeline=pipeline(*(add_fields(**given) for given in weights)))
    return [real, rendered]


def hook(**weights: Any) -> dict[str, Any]:
    return dict(type="LossWeightHook", weights=weights)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("loop", ["EpochBasedTrainLoop", "IterBasedTrainLoop"])
def test_the_hook_on_a_stock_config_is_the_seeds_way(tmp_path: Path, loop: str, workers: int) -> None:
    given = {"rpn_head": 2.0, "roi_head": 0.2, "roi_head.bbox_head.loss_cls": 0.05}
    seeds_way = runner_config(tmp_path / "a", datasets(tmp_path, given), "rpn_head", "roi_head.bbox_head")
    with_hook = runner_config(tmp_path / "b", datasets(tmp_path), custom_hooks=[hook(real=1.0, rendered=given)])
    stock = runner_config(tmp_path / "c", datasets(tmp_path))
    for config in (seeds_way, with_hook, stock):
        config.train_dataloader.num_workers = workers
        if loop == "IterBasedTrainLoop":
            config.train_cfg = dict(type=loop, max_iters=4)
            config.train_dataloader.sampler = dict(type="InfiniteSampler")
    expected, actual = trained(seeds_way), trained(with_hook)
    assert len(actual) == 4
    assert actual == expected
    assert trained(stock) != expected

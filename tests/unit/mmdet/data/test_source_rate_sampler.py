"""Data sets that are drawn at rates of their own."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mmdet.registry import DATA_SAMPLERS, DATASETS
from mmengine.runner import Runner
from support.coco import pipeline, runner_config, write_dataset

from headweights import WeightError
from headweights.mmdet import SourceRateSampler
from headweights.mmdet.data.source_datasets import source_datasets

SIZES = {"a": 10, "b": 40}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("rates")
    parts = [dict(write_dataset(folder, name, images=size, size=64), pipeline=pipeline()) for name, size in SIZES.items()]
    return DATASETS.build(dict(type="ConcatDataset", datasets=parts, ignore_keys=["dataset_name"]))


def drawn(sampler: SourceRateSampler, count: int) -> list[int]:
    return list(itertools.islice(sampler, count))


@pytest.mark.parametrize(("rates", "share"), [((1.0, 1.0), 0.2), ((1.0, 0.1), 10 / 14), ((3, 1), 30 / 70)])
def test_every_data_set_has_its_share(dataset: Any, rates: tuple[float, float], share: float) -> None:
    sampler = SourceRateSampler(dataset, rates, infinite=True, seed=0)
    assert sampler.num_per_source == pytest.approx([50 * share, 50 * (1 - share)])
    assert [source.drawn for source in source_datasets(dataset, sampler)] == pytest.approx(sampler.num_per_source)
    indices = drawn(sampler, 20_000)
    assert sum(index < SIZES["a"] for index in indices) / 20_000 == pytest.approx(share, abs=0.015)
    # Within a data set, none is drawn twice before all are drawn once.
    for first, last in ((0, 10), (10, 50)):
        counts = Counter(index for index in indices if first <= index < last)
        assert set(counts) == set(range(first, last)) and max(counts.values()) - min(counts.values()) <= 1


def test_it_ends_with_the_epoch_and_the_next_one_is_another(dataset: Any) -> None:
    sampler = DATA_SAMPLERS.build(
        dict(type="SourceRateSampler", source_rates=[1, 0.1]), default_args=dict(dataset=dataset, seed=3)
    )
    first = list(sampler)
    assert len(first) == len(sampler) == 50 and list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_two_processes_share_the_images(dataset: Any) -> None:
    whole = drawn(SourceRateSampler(dataset, [1, 0.5], infinite=True, seed=1), 60)
    for rank in (0, 1):
        sampler = SourceRateSampler(dataset, [1, 0.5], infinite=True, seed=1)
        sampler.rank, sampler.processes = rank, 2
        assert drawn(sampler, 30) == whole[rank::2]
        sampler.infinite = False
        assert len(list(sampler)) == len(sampler) == 25


@pytest.mark.parametrize("rates", [[1.0], [1, 0], [1, -1], [1, float("inf")], [1, "2"], 2, dict(a=1, b=2)])
def test_rates_that_are_none_are_named(dataset: Any, rates: Any) -> None:
    with pytest.raises(WeightError, match=r"source_rates is .*2 numbers > 0"):
        SourceRateSampler(dataset, rates)
    with pytest.raises(WeightError, match="must be a ConcatDataset; it is a list"):
        SourceRateSampler([1, 2], [1, 1])


@pytest.mark.slow
def test_a_training_by_epochs_ends(tmp_path: Path) -> None:
    parts = [
        dict(write_dataset(tmp_path, name, images=size, size=64), pipeline=pipeline()) for name, size in (("a", 2), ("b", 4))
    ]
    config = runner_config(tmp_path / "run", parts, epochs=2)
    config.train_dataloader.sampler = dict(type="SourceRateSampler", source_rates=[1, 0.1])
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.iter == 6 and runner.epoch == 2

"""Mixes: which items are drawn, in which order and how often, and that every item names its data set."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from headweights import WeightError
from headweights.transformers import LossWeights
from headweights.transformers.data.mixed import mixed_in


class Numbered(Dataset[Any]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"labels": {"image_id": number}}


class Stream(IterableDataset[Any]):
    def __init__(self, count: int | None = None) -> None:
        self.count = count
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        for number in itertools.count() if self.count is None else range(self.count):
            yield {"labels": {"image_id": number}}


def drawn(mix: Any) -> list[tuple[str, int]]:
    return [(item["labels"]["dataset"], item["labels"]["image_id"]) for item in mix]


def test_without_probabilities_the_data_sets_follow_each_other() -> None:
    mix = LossWeights().mix(real=Numbered(2), drawn=Numbered(3))
    assert len(mix) == 5
    assert drawn(mix) == [("real", 0), ("real", 1), ("drawn", 0), ("drawn", 1), ("drawn", 2)]
    mix.set_epoch(1)
    assert drawn(mix)[:2] == [("real", 0), ("real", 1)]
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            mix[outside]


def test_names_that_are_no_identifiers_come_in_a_table() -> None:
    mix = LossWeights().mix({"day / night": Numbered(1)}, seed_=Numbered(1))
    assert drawn(mix) == [("day / night", 0), ("seed_", 0)]


def test_with_probabilities_an_epoch_is_drawn_and_each_item_comes_as_often_as_the_next() -> None:
    mix = LossWeights().mix(real=Numbered(30), drawn=Numbered(90), probabilities=dict(real=3, drawn=1))
    assert len(mix) == 120
    counts = Counter(name for name, _ in drawn(mix))
    assert 75 <= counts["real"] <= 105
    for name in counts:
        often = Counter(number for of, number in drawn(mix) if of == name).values()
        assert max(often) - min(often) <= 1
    assert drawn(mix) != sorted(drawn(mix))


def test_a_draw_can_be_repeated_and_each_epoch_has_its_own() -> None:
    def mix(seed: int = 0) -> Any:
        return LossWeights().mix(real=Numbered(5), drawn=Numbered(20), probabilities=dict(real=1, drawn=1), seed=seed)

    one, same, other = mix(), mix(), mix(seed=1)
    assert drawn(one) == drawn(same) != drawn(other)
    first = drawn(one)
    one.set_epoch(1)
    second = drawn(one)
    assert first != second
    one.set_epoch(0)
    assert drawn(one) == first
    # As a worker of a data loader gets it.
    one.set_epoch(1)
    assert drawn(pickle.loads(pickle.dumps(one))) == second


def test_the_mix_says_how_often_each_data_set_is_drawn() -> None:
    weights = LossWeights()
    assert weights.mix(a=Numbered(2), b=Numbered(6)).drawn == [2, 6]
    assert weights.mix(a=Numbered(2), b=Numbered(6), probabilities=dict(a=10, b=30)).drawn == [2, 6]
    assert weights.mix(a=Stream(), b=Stream()).drawn == [0.5, 0.5]
    assert weights.mix(a=Stream(), b=Stream(), probabilities=dict(b=1, a=3)).drawn == [0.75, 0.25]


def test_streams_are_interleaved_until_one_ends() -> None:
    weights = LossWeights()
    mix = weights.mix(endless=Stream(), short=Stream(20), probabilities=dict(endless=3, short=1))
    found = drawn(mix)
    assert [number for name, number in found if name == "short"] == list(range(20))
    endless = [number for name, number in found if name == "endless"]
    assert endless == list(range(len(endless))) and 40 < len(endless) < 90
    assert drawn(mix) == found
    mix.set_epoch(1)
    assert drawn(mix) != found
    assert [source.dataset.epoch for source in mix.sources] == [1, 1]
    # A map-style data set among streams is a stream too.
    assert {name for name, _ in drawn(weights.mix(stream=Stream(), counted=Numbered(5)))} == {"stream", "counted"}


@pytest.mark.parametrize(
    "probabilities",
    [
        {},
        dict(a=1),
        dict(a=1, b=1, c=1),
        dict(a=1, b=0),
        dict(a=1, b=-1),
        dict(a=1, b=float("nan")),
        dict(a=1, b="1"),
        [0.5, 0.5],
    ],
)
def test_probabilities_are_one_number_for_each_data_set(probabilities: Any) -> None:
    with pytest.raises(WeightError, match=r"LossWeights\.mix: probabilities is .* one number > 0 for each data set: a, b"):
        LossWeights().mix(a=Numbered(1), b=Numbered(1), probabilities=probabilities)


def test_a_mix_of_nothing_is_an_error() -> None:
    weights = LossWeights()
    with pytest.raises(WeightError, match=r"there is no data set. Give them by name: mix\(real=..., synthetic=...\)"):
        weights.mix()
    with pytest.raises(WeightError, match="data set 'drawn' is empty"):
        weights.mix(real=Numbered(1), drawn=Numbered(0))
    with pytest.raises(WeightError, match="give data sets by name"):
        weights.mix([Numbered(1), Numbered(2)])
    with pytest.raises(WeightError, match="'' is no name of a data set"):
        weights.mix({"": Numbered(1)})


def test_a_mix_of_mixes_is_an_error_with_the_first_item() -> None:
    weights = LossWeights()
    mix = weights.mix(outer=weights.mix(inner=Numbered(1)))
    with pytest.raises(WeightError, match="an image of data set 'outer' says that it is of 'inner'"):
        mix[0]


def test_a_mix_is_found_in_data_loaders_and_subsets() -> None:
    mix = LossWeights().mix(real=Numbered(4))
    assert mixed_in(mix) is mix
    assert mixed_in(DataLoader(Subset(mix, [0, 1]), 2)) is mix
    assert mixed_in(Numbered(1)) is None and mixed_in(None) is None
    assert mixed_in(ConcatDataset([Numbered(1)])) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gets_every_item_with_its_name(workers: int) -> None:
    mix = LossWeights().mix(real=Numbered(3), drawn=Numbered(2))
    loader = DataLoader(mix, 2, collate_fn=list, num_workers=workers)
    assert [found for items in loader for found in drawn(items)] == drawn(mix)

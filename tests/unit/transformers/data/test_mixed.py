"""Mixes: what they draw, and that every item names its data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from headweights import WeightError
from headweights.transformers import LossWeights

weights = LossWeights()


class Numbers(Dataset[Any]):
    """A data set whose items hold their numbers."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"number": self.numbers[index], "labels": {"class_labels": torch.zeros(1, dtype=torch.long)}}


class Stream(IterableDataset[Any]):
    def __init__(self, numbers: range) -> None:
        self.numbers = numbers

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter({"number": number, "labels": {}} for number in self.numbers)


def drawn(dataset: Any) -> list[tuple[str, int]]:
    items = [dataset[index] for index in range(len(dataset))] if hasattr(dataset, "__len__") else list(dataset)
    return [(item["labels"]["dataset"], item["number"]) for item in items]


def test_data_sets_follow_one_another() -> None:
    mix = weights.mix(a=Numbers(range(2)), b=Numbers(range(10, 13)))
    assert drawn(mix) == [("a", 0), ("a", 1), ("b", 10), ("b", 11), ("b", 12)]
    assert mix.drawn == [2, 3]
    with pytest.raises(IndexError):
        mix[5]


def test_names_need_not_be_identifiers() -> None:
    mix = weights.mix({"real 2024": Numbers(range(1))}, other=Numbers(range(1)))
    assert [name for name, _ in drawn(mix)] == ["real 2024", "other"]


def test_items_of_a_data_set_stay_as_they_were() -> None:
    item = {"number": 1, "labels": {"class_labels": torch.zeros(1)}}
    mix = weights.mix(a=[item])
    assert mix[0]["labels"]["dataset"] == "a"
    assert "dataset" not in item["labels"]


def test_probabilities_say_how_often_a_data_set_is_drawn() -> None:
    mix = weights.mix(a=Numbers(range(100)), b=Numbers(range(900)), probabilities=dict(a=3, b=1), seed=1)
    assert mix.drawn == [750, 250]
    items = drawn(mix)
    assert len(items) == 1000
    by_name = Counter(name for name, _ in items)
    assert abs(by_name["a"] - 750) < 60  # more than four standard deviations
    repeats = Counter(number for name, number in items if name == "a")
    assert len(repeats) == 100
    assert max(repeats.values()) - min(repeats.values()) <= 1
    assert max(Counter(number for name, number in items if name == "b").values()) == 1


def test_every_epoch_draws_anew_and_repeatably() -> None:
    def epochs(seed: int) -> list[list[tuple[str, int]]]:
        mix = weights.mix(a=Numbers(range(5)), b=Numbers(range(20)), probabilities=dict(a=1, b=1), seed=seed)
        found = []
        for epoch in range(2):
            mix.set_epoch(epoch)
            found.append(drawn(mix))
        return found

    first, second = epochs(seed=0)
    assert first != second
    assert epochs(seed=0) == [first, second]
    assert epochs(seed=1)[0] != first


def test_streams_are_interleaved_until_one_ends() -> None:
    mix = weights.mix(a=Stream(range(5)), b=Stream(range(1000)), probabilities=dict(a=1, b=3))
    items = drawn(mix)
    assert [number for name, number in items if name == "a"] == list(range(5))
    assert [number for name, number in items if name == "b"] == list(range(len(items) - 5))
    assert drawn(mix) == items
    mix.set_epoch(1)
    assert drawn(mix) != items


def test_workers_load_a_mix() -> None:
    mix = weights.mix(a=Numbers(range(3)), b=Numbers(range(3)))
    loader = DataLoader(mix, batch_size=2, num_workers=2, collate_fn=lambda items: [item["labels"]["dataset"] for item in items])
    assert list(loader) == [["a", "a"], ["a", "b"], ["b", "b"]]


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (lambda: weights.mix(), "no data set"),
        (lambda: weights.mix(a=[]), "'a' is empty"),
        (lambda: weights.mix(Numbers(range(1))), "by name"),
        (lambda: weights.mix({"": Numbers(range(1))}), "no name of a data set"),
        (lambda: weights.mix(a=Numbers(range(1)), probabilities={"b": 1}), "one number > 0 for each data set: a"),
        (lambda: weights.mix(a=Numbers(range(1)), probabilities={"a": 0}), "one number > 0"),
        (lambda: weights.mix(a=Numbers(range(1)), probabilities={"a": "half"}), "one number > 0"),
        (lambda: weights.mix(a=["text"])[0], "an item must be a dict"),
        (lambda: weights.mix(a=[{"labels": {"dataset": "b"}}])[0], "says that it is of 'b'"),
        (lambda: weights.mix(Numbers(range(1)), column="source"), "has no columns"),
        (lambda: LossWeights(images={"synthetc": {}}).mix(synthetic=Numbers(range(1))), "Nearest valid: 'synthetic'"),
        (lambda: LossWeights(images={"a": {"1.png": 0.5}}).mix(a=Numbers(range(1))), "no names here"),
        (lambda: LossWeights(images={"a": {"1.png": 0.5}}).mix(a=Stream(range(1))), "a stream"),
    ],
)
def test_mistakes_are_named(mix: Any, message: str) -> None:
    with pytest.raises(WeightError, match=message):
        mix()

"""Data sets of the library ``datasets``, split by a column, and the own weights of images in a mix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from datasets import Dataset, IterableDataset

from headweights import WeightError
from headweights.transformers import LossWeights
from headweights.transformers.data.mixed import Mixed

ROWS = ["real", "drawn", "real", "drawn", "drawn"]


def table() -> Dataset:
    return Dataset.from_dict({"image_id": [10, 11, 12, 13, 14], "source": ROWS, "boxes": [[1.0]] * 5})


def batched(examples: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """A transform as in transformers' examples: label dicts without the column."""
    return {"labels": [{"image_id": number} for number in examples["image_id"]]}


def found(mix: Mixed) -> list[tuple[str, int, Any]]:
    labels = [item.get("labels", item) for item in mix]
    return [(label["dataset"], label["image_id"], label.get("loss_weight")) for label in labels]


@pytest.mark.parametrize("dataset", [table(), table().with_transform(batched), table().with_format("torch")])
def test_a_column_names_the_data_set_of_each_row(dataset: Dataset) -> None:
    weights = LossWeights(images={"drawn": {"11": 0.5, 14: {"loss_ce": 2.0}}})
    mix = weights.mix(dataset, column="source")
    assert [(source.name, len(source)) for source in mix.sources] == [("drawn", 3), ("real", 2)]
    assert found(mix) == [
        ("drawn", 11, {"": 0.5}),
        ("drawn", 13, None),
        ("drawn", 14, {"loss_ce": 2.0}),
        ("real", 10, None),
        ("real", 12, None),
    ]
    assert mix.drawn == [3, 2]
    probable = weights.mix(dataset, column="source", probabilities=dict(real=1, drawn=0.1))
    assert len(found(probable)) == 5


def test_a_column_must_be_there_and_hold_names() -> None:
    weights = LossWeights()
    with pytest.raises(WeightError, match="the Dataset has no column 'sources'; its columns: image_id, source, boxes"):
        weights.mix(table(), column="sources")
    with pytest.raises(WeightError, match="the list has no column 'source'; it has no columns; this is for data sets of the lib"):
        weights.mix([{}], column="source")
    for wrong in (None, ""):
        with pytest.raises(WeightError, match=f"column 'source' holds {wrong!r}; it must hold the names of data sets"):
            weights.mix(Dataset.from_dict({"source": ["real", wrong]}), column="source")
    with pytest.raises(WeightError, match="column 'image_id' holds 10; it must hold the names"):
        weights.mix(table(), column="image_id")
    with pytest.raises(WeightError, match="a column cannot split the IterableDataset, which is a stream"):
        weights.mix(table().to_iterable_dataset(), column="source")
    with pytest.raises(WeightError, match="give either data sets by name or a column, not both"):
        weights.mix(table(), column="source", drawn=table())


def test_weights_of_images_are_for_data_sets_that_are_there() -> None:
    weights = LossWeights(images={"rael": {10: 0.5}})
    for mix in (lambda: weights.mix(table(), column="source"), lambda: weights.mix(real=table())):
        with pytest.raises(
            WeightError, match=r"LossWeights: images: 'rael' is no data set of this training\. Nearest valid: 'real'"
        ):
            mix()
    with pytest.raises(WeightError, match="data set 'real': images names '99', and none of the 5 images is called that"):
        LossWeights(images={"real": {99: 0.5}}).mix(real=table())


def rows() -> Iterator[dict[str, Any]]:
    yield from table()


def test_streams_of_datasets_are_mixed_and_have_no_images_to_look_up() -> None:
    weights = LossWeights(images={"counted": {10: 0.5}})
    mix = weights.mix(stream=IterableDataset.from_generator(rows), counted=table(), probabilities=dict(stream=1, counted=9))
    assert ("counted", 10, {"": 0.5}) in found(mix)
    assert all(weight is None for name, number, weight in found(mix) if (name, number) != ("counted", 10))
    with pytest.raises(WeightError, match="images: data set 'counted' is a stream, whose images cannot be looked up"):
        weights.mix(counted=IterableDataset.from_generator(rows))

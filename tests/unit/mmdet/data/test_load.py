"""LoadLossWeights: what it loads, in what order it believes whom, and what it refuses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from support.coco import write_dataset
from support.scenes import scene, weight_of

from headweights import WeightError
from headweights.images.table import TableBuilder
from headweights.mmdet import LoadLossWeights, image_table
from headweights.mmdet.data.annotations import OBJECTS_WEIGHTED
from headweights.mmdet.data.trace import LABELS, PROVENANCE
from headweights.provenance.origin import Origin, Part

LOAD = dict(type="LoadAnnotations", with_bbox=True)
PACK = dict(type="PackDetInputs")


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def loaded(step: LoadLossWeights, **more: Any) -> dict[str, Any]:
    results: dict[str, Any] = Compose([LOAD, step])({**scene(), **more})
    return results


def origin(step: LoadLossWeights, **more: Any) -> Origin:
    (part,) = loaded(step, **more)[PROVENANCE].parts
    assert part == Part(part.origin, 1.0)
    return part.origin


def by_size(info: Any) -> Any:
    return {"rpn_head": info["width"] / 1000}


def test_the_images_weight() -> None:
    given = {"": 0.5, "rpn_head": 2}
    assert origin(LoadLossWeights()) == Origin()
    assert origin(LoadLossWeights("real")) == Origin("real")
    assert origin(LoadLossWeights("real"), loss_weight=0.5) == Origin("real", {"": 0.5})
    assert origin(LoadLossWeights("real"), loss_weight=given) == Origin("real", given)
    assert origin(LoadLossWeights("real", {"0.png": 3}), loss_weight=given) == Origin("real", {"": 3, "rpn_head": 2})
    assert origin(LoadLossWeights("real", {"1.png": 3}), loss_weight=given) == Origin("real", given)
    assert origin(LoadLossWeights("real", by_size)) == Origin("real", {"rpn_head": 0.16})


def test_the_objects_weights() -> None:
    results = loaded(LoadLossWeights())
    assert results[LABELS].provenance.weights.tolist() == [np.float32(weight_of(label)) for label in range(8)]
    assert not loaded(LoadLossWeights(objects=False))[PROVENANCE].objects_weighted
    ones = scene()
    for instance in ones["instances"]:
        instance["loss_weight"] = 1
    assert not loaded(LoadLossWeights(), **ones)[PROVENANCE].objects_weighted


def test_the_table_of_a_data_set(tmp_path: Path) -> None:
    config = write_dataset(tmp_path, "real", image_weights={0: 0.5, 1: {"rpn_head": 2}})
    dataset = DATASETS.build(config)
    assert image_table(dataset).array.tolist() == [[0.5, 1], [1, 2], [1, 1], [1, 1]]
    table = image_table(dataset, {"0.png": {"rpn_head": 0.1}, 3: 0.25})
    expected = [{"": 0.5, "rpn_head": 0.1}, {"rpn_head": 2}, {}, {"": 0.25}]
    assert [table.weights(number) for number in range(4)] == expected
    dataset = DATASETS.build({**config, "pipeline": [dict(type="LoadImageFromFile"), LOAD, LoadLossWeights("real", table)]})
    assert [dict(dataset[number][PROVENANCE].parts[0].origin.weights) for number in range(4)] == expected
    with pytest.raises(WeightError, match=r"data set 'real': images names '7\.png'"):
        image_table(dataset, {"7.png": 1})
    with pytest.raises(WeightError, match="data set 'mine': images names '7'"):
        image_table(dataset, {7: 1}, name="mine")


def test_the_table_of_a_data_set_without_weights(tmp_path: Path) -> None:
    table = image_table(DATASETS.build(write_dataset(tmp_path, "real")))
    assert [table.weights(number) for number in range(len(table))] == [{}] * 4
    assert (table.array.shape, table.mean_weight()) == ((4, 0), 1.0)


def test_a_table_needs_the_images_number() -> None:
    builder = TableBuilder()
    builder.add({"": 0.5})
    step = LoadLossWeights("real", builder.table())
    assert origin(step) == Origin("real", {"": 0.5})
    with pytest.raises(WeightError, match="1 images"):
        loaded(step, sample_idx=7)
    results = {key: value for key, value in scene().items() if key != "sample_idx"}
    with pytest.raises(WeightError, match="sample_idx"):
        Compose([LOAD, step])(results)


@pytest.mark.parametrize("images", [None, {"0.png": 0.5, "a/*": 2}, by_size])
def test_it_pickles_and_copies(images: Any) -> None:
    step = LoadLossWeights("real", images)
    for other in (pickle.loads(pickle.dumps(step)), copy.deepcopy(step)):
        assert origin(other) == origin(step)
    assert "real" in repr(step)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(dataset=3), "dataset is 3"),
        (dict(dataset=""), "dataset is ''"),
        (dict(objects=1), "objects is 1"),
        (dict(images=3), "images is 3"),
        (dict(dataset="real", images="no.csv"), "'real': no.csv cannot be read"),
        (dict(images={"0.png": -1}), "'0.png' is -1"),
    ],
)
def test_bad_arguments(arguments: Any, said: str) -> None:
    with pytest.raises(WeightError, match=said):
        TRANSFORMS.build(dict(type="LoadLossWeights", **arguments))


@pytest.mark.parametrize("value", [-1, True, "0.5", float("nan"), {"rpn_head": -1}, [1]])
def test_a_weight_that_is_none_names_the_image(value: Any) -> None:
    with pytest.raises(WeightError, match=r"image 'folder/0\.png' of data set 'real': loss_weight"):
        loaded(LoadLossWeights("real"), loss_weight=value)


@pytest.mark.parametrize("value", [-1, True, "0.5", float("nan"), {"rpn_head": 1}, None])
def test_an_objects_weight_that_is_none_names_the_object(value: Any) -> None:
    results = scene()
    results["instances"][4]["loss_weight"] = value
    with pytest.raises(WeightError, match=r"image 'folder/0\.png' of data set 'real': loss_weight of object 4"):
        loaded(LoadLossWeights("real"), **results)


def test_its_place_in_the_pipeline() -> None:
    step = LoadLossWeights("real")
    with pytest.raises(WeightError, match="right after LoadAnnotations"):
        Compose([step, LOAD])(scene())
    drop = dict(type="FilterAnnotations", min_gt_bbox_wh=(40, 40))
    with pytest.raises(WeightError, match=r"8 objects, 5 with loss weights, but \d labels"):
        Compose([LOAD, drop, step])(scene())
    with pytest.raises(WeightError, match="twice"):
        Compose([LOAD, step, step])(scene())
    assert PROVENANCE in Compose([step, LOAD])(scene(weighted=False))
    assert PROVENANCE in Compose([LOAD, drop, step])(scene(weighted=False))


def test_a_step_before_it_that_rebuilds_the_objects_is_found_out() -> None:
    """InstaBoost where it leaves the picture alone: it drops what it does not know of the objects all the same."""
    boost = object.__new__(TRANSFORMS.get("InstaBoost"))  # its constructor wants a package that is not needed here
    boost.aug_ratio = 0.0
    with pytest.raises(WeightError, match="InstaBoost"):
        Compose([boost, LOAD, LoadLossWeights()])({**scene(), OBJECTS_WEIGHTED: True})
    assert Compose([boost, LOAD, LoadLossWeights(objects=False)])({**scene(), OBJECTS_WEIGHTED: True})


def test_no_objects_no_weights() -> None:
    results = Compose([dict(type="LoadEmptyAnnotations"), LoadLossWeights("real"), PACK])(scene())
    assert "loss_weights" not in results["data_samples"].gt_instances
    assert results["data_samples"].metainfo["loss_origins"] == (Part(Origin("real")),)
    results = Compose([LOAD, LoadLossWeights("real"), PACK])({**scene(), "instances": []})
    assert len(results["data_samples"].gt_instances) == 0

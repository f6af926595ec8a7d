"""The data sets of a mix: found however they are wrapped, how often each is drawn, what each is called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmdet.registry import DATASETS, TRANSFORMS
from support.coco import add_fields, pipeline, write_dataset

from headweights import WeightError
from headweights.mmdet.data.load import LoadLossWeights, image_table
from headweights.mmdet.data.source_datasets import LoadLossWeightsForHook, Objects, load_weights, named, source_datasets

IGNORED = ["dataset_name", "cumulative_sizes"]


def described(folder: Path, name: str, images: int = 2, named: bool = True, *steps: dict[str, Any]) -> dict[str, Any]:
    config = dict(write_dataset(folder, name, images=images), pipeline=pipeline(*steps))
    return config if named else dict(config, metainfo=dict(classes=("thing",)))


def concatenated(*parts: dict[str, Any]) -> Any:
    return DATASETS.build(dict(type="ConcatDataset", datasets=list(parts), ignore_keys=IGNORED))


def test_source_datasets_are_drawn_as_often_as_their_wrappers_say(tmp_path: Path) -> None:
    a, b, c = (described(tmp_path, name, images) for name, images in (("a", 2), ("b", 3), ("c", 4)))
    balanced = dict(type="ClassBalancedDataset", oversample_thr=1.0, dataset=b)
    nested = dict(type="ConcatDataset", datasets=[balanced, c], ignore_keys=IGNORED)
    found = source_datasets(concatenated(dict(type="RepeatDataset", times=3, dataset=a), nested))
    assert [(source.images, source.drawn, source.objects.count) for source in found] == [(2, 6.0, 6), (3, 3.0, 9), (4, 4.0, 12)]
    assert [source.name for source in named(found)] == ["a", "b", "c"]
    repeated = source_datasets(
        DATASETS.build(dict(type="RepeatDataset", times=2, dataset=dict(type="RepeatDataset", times=2, dataset=a)))
    )
    assert [source.drawn for source in repeated] == [8.0]


def test_a_sampler_with_a_ratio_draws_by_it(tmp_path: Path) -> None:
    dataset = concatenated(described(tmp_path, "a", 2), described(tmp_path, "b", 8))
    found = source_datasets(dataset, SimpleNamespace(num_per_source=[3, 1]))
    assert [source.drawn for source in found] == pytest.approx([3.0, 1.0])


def test_one_data_set_that_is_wrapped_twice_is_one(tmp_path: Path) -> None:
    one = DATASETS.build(described(tmp_path, "a", 2))
    both = DATASETS.get("ConcatDataset")([one, one])
    assert [source.drawn for source in source_datasets(both)] == [4.0]


def test_a_name_is_metainfos_else_the_hooks_else_the_annotation_files(tmp_path: Path) -> None:
    found = source_datasets(concatenated(described(tmp_path, "a"), described(tmp_path, "b", 2, False)))
    assert [source.name for source in named(found)] == ["a", "b"]
    assert [source.name for source in named(found, ["a", "other"])] == ["a", "other"]
    with pytest.raises(WeightError, match="calls data set 1 'x', but its metainfo calls it 'a'"):
        named(found, ["x", "b"])
    with pytest.raises(WeightError, match=r"a list of 2 names.*'a', CocoDataset"):
        named(found, ["a"])


def test_a_clash_lists_the_data_sets(tmp_path: Path) -> None:
    found = source_datasets(concatenated(described(tmp_path / "1", "a"), described(tmp_path / "2", "a")))
    with pytest.raises(WeightError, match=r"several data sets are called 'a'.*1\. 'a', CocoDataset.*2\. 'a'"):
        named(found)
    unnamed = [described(tmp_path / number, "a", 2, False) for number in "12"]
    assert [source.name for source in named(source_datasets(concatenated(*unnamed)), ["x", "y"])] == ["x", "y"]


def test_the_step_comes_after_the_annotations_and_a_later_hooks_takes_its_place(tmp_path: Path) -> None:
    (source,) = source_datasets(DATASETS.build(described(tmp_path, "a")))
    (source,) = named([source])
    for weight in (0.5, 0.25):
        load_weights(replace(source, image_weights=image_table(source.dataset, {"0.png": weight})), has_source=True)
        kinds = [type(step).__name__ for step in source.dataset.pipeline.transforms]
        assert kinds[:4] == ["LoadImageFromFile", "LoadAnnotations", "LoadLossWeightsForHook", "Resize"]
        assert kinds.count("LoadLossWeightsForHook") == 1
        step = source.dataset.pipeline.transforms[2]
        assert step.images.weights(0) == {"": weight}


def test_a_step_of_the_users_is_named_and_not_overruled(tmp_path: Path) -> None:
    config = described(tmp_path, "a")
    config["pipeline"].insert(2, dict(type="LoadLossWeights"))
    (source,) = named(source_datasets(DATASETS.build(config)))
    load_weights(source)
    steps = [step for step in source.dataset.pipeline.transforms if isinstance(step, LoadLossWeights)]
    assert [step.dataset for step in steps] == ["a"] and not isinstance(steps[0], LoadLossWeightsForHook)
    with pytest.raises(WeightError, match="loads its weights already"):
        load_weights(source, has_source=True)


def test_a_pipeline_that_loads_nothing_is_an_error(tmp_path: Path) -> None:
    config = dict(described(tmp_path, "a"), pipeline=[])
    with pytest.raises(WeightError, match="no pipeline with a step that loads"):
        load_weights(*named(source_datasets(DATASETS.build(config))))


def test_fields_as_the_last_step_leaves_them_and_those_that_come_too_early(tmp_path: Path) -> None:
    keeps = dict(add_fields(rpn_head=9.0), replace=False)
    config = described(tmp_path, "a", 2, True, add_fields(rpn_head=1.0), add_fields(rpn_head=2.0), keeps)
    (source,) = source_datasets(DATASETS.build(config))
    assert source.fields == {"rpn_head.loss_weight": 2.0} and not source.too_early
    config["pipeline"].insert(0, add_fields(bbox_head=3.0))
    (source,) = source_datasets(DATASETS.build(config))
    assert [step.values for step in source.too_early] == [{"bbox_head.loss_weight": 3.0}]
    assert TRANSFORMS.get("AddFieldToImgMetas") is type(source.too_early[0])


def test_the_weights_of_objects_are_counted_with_them(tmp_path: Path) -> None:
    config = write_dataset(tmp_path, "a", images=2, object_weights={0: 0.25, 1: 1, 2: 4})
    path = tmp_path / "a.json"
    described = json.loads(path.read_text())
    described["annotations"][2]["iscrowd"] = 1
    path.write_text(json.dumps(described))
    (source,) = source_datasets(DATASETS.build(config))
    labels = {0: 5}
    assert source.objects == Objects(5, weighted=1, mean=pytest.approx((0.25 + 4 * 1) / 5), are_weighted=True, by_label=labels)
    (plain,) = source_datasets(DATASETS.build(write_dataset(tmp_path, "b", images=2)))
    assert plain.objects == Objects(count=6, weighted=0, mean=1.0, are_weighted=False, by_label={0: 6})

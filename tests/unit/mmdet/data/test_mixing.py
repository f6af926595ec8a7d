"""The shares of mixed pictures, against a count of pixels: every picture is of one colour, and so is the padding."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdet.datasets.transforms import CachedMosaic, MixUp, Mosaic
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from support.coco import pipeline, write_dataset
from support.detectors import FASTER_RCNN, build, model_config, weighted_config
from support.scenes import scene, seeded, weight_of

from headweights import WeightError
from headweights.mmdet import current_batch, publish_batch, record_mix
from headweights.mmdet.data.mixing import keep_origins, with_origins
from headweights.mmdet.data.source_datasets import steps
from headweights.mmdet.data.trace import LABELS, PROVENANCE
from headweights.provenance.origin import Origin, Part

SIDE = 160
STARTS = (0, 100, 200, 300)
COLOURS = {0: 40, 100: 80, 200: 120, 300: 160}


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def picture(
    first: int, seed: int = 0, size: int = SIDE, mask: bool = False, dataset: str | None = "", objects: int = 8, **more: Any
) -> dict[str, Any]:
    """A picture of one colour, of a data set named after its first class."""
    found = scene(first, seed, weighted=False, size=size, objects=objects)
    found["img"][:] = COLOURS[first]
    load = [dict(type="LoadAnnotations", with_bbox=True, with_mask=mask)]
    step = dict(type="LoadLossWeights", dataset=str(first) if dataset == "" else dataset, **more)
    results: dict[str, Any] = Compose([*load, step])(found)
    return results


def built(type: str, **config: Any) -> Any:
    """A step as it is in a training."""
    step = TRANSFORMS.build(dict(type=type, **config))
    keep_origins(step)
    return step


def packed(results: dict[str, Any], packing: Any = None) -> Any:
    return (packing or TRANSFORMS.build(dict(type="PackDetInputs")))(results)["data_samples"]


def shares(results: dict[str, Any]) -> dict[str, float]:
    return {part.origin.dataset: part.share for part in results[PROVENANCE].parts}


def counted(image: np.ndarray[Any, Any]) -> dict[str, float]:
    """The share of each colour among the pixels that are not padding."""
    count = {str(first): float((image[..., 0] == colour).sum()) for first, colour in COLOURS.items()}
    return {name: pixels / sum(count.values()) for name, pixels in count.items() if pixels}


@pytest.mark.parametrize("sizes", [(160, 160, 160, 160), (100, 160, 90, 130)])
def test_mosaic_shares_are_the_areas_that_the_pictures_take(sizes: tuple[int, ...]) -> None:
    for seed in range(5):
        pictures = [picture(first, size=size) for first, size in zip(STARTS, sizes)]
        seeded(seed)
        results = built("Mosaic", img_scale=(SIDE, 120))({**pictures[0], "mix_results": pictures[1:]})
        assert shares(results) == pytest.approx(counted(results["img"]), abs=1e-9)


def test_cached_mosaic_knows_which_pictures_it_took() -> None:
    step = built("CachedMosaic", img_scale=(SIDE, SIDE), max_cached_images=6)
    seeded(1)
    mixes = 0
    for number in range(20):
        results = step(picture(STARTS[number % 4], mask=True))
        if results["img"].shape[0] > SIDE:
            mixes += 1
            assert shares(results) == pytest.approx(counted(results["img"]), abs=1e-9)
        else:
            assert shares(results) == {str(STARTS[number % 4]): 1}
    assert mixes > 10


def test_mixup_shares_are_half_of_what_the_mixed_in_picture_covers() -> None:
    covered = set()
    for seed in range(12):
        seeded(seed)
        step = built("MixUp", img_scale=(SIDE, SIDE), ratio_range=(0.5, 1.6), pad_val=0)
        own, other = picture(0), picture(300, size=100 + seed)
        own["img"][:] = 0
        other["img"] = other["img"][: 60 + 3 * seed]  # not square, so that it leaves some of its canvas padded
        other["img"][:] = 200
        boxes = other["gt_bboxes"]
        results = step({**own, "mix_results": [other]})
        share = 0.5 * float((results["img"][..., 0] > 50).mean())
        assert shares(results) == pytest.approx({"0": 1 - share, "300": share}, abs=0.01)
        assert type(results["gt_bboxes"]) is type(boxes)
        covered.add(round(share, 2))
    assert len(covered) > 4


def test_cached_mixup_too_and_its_cache_stays_as_it_is() -> None:
    step = built("CachedMixUp", img_scale=(SIDE, SIDE), ratio_range=(0.6, 0.9), pad_val=0, max_cached_images=4)
    seeded(2)
    others = set()
    for number in range(12):
        results = picture(STARTS[number % 4], objects=0 if number == 3 else 8)
        colour = COLOURS[STARTS[number % 4]]
        results = step(results)
        assert not any("Frame" in type(entry["gt_bboxes"]).__name__ for entry in step.results_cache)
        found = shares(results)
        if len(found) > 1:
            own, other = (str(STARTS[number % 4]), next(name for name in found if name != str(STARTS[number % 4])))
            mixed = results["img"][..., 0].astype(float) * 2 - colour
            expected = 0.5 * float((mixed > COLOURS[int(other)] / 2).mean())
            assert found == pytest.approx({own: 1 - expected, other: expected}, abs=0.01)
            others.add(other)
    assert len(others) > 1


@pytest.mark.parametrize("by_box", [False, True])
@pytest.mark.parametrize("selected", [False, True])
def test_copy_paste_shares_are_the_pixels_that_were_pasted(selected: bool, by_box: bool) -> None:
    if by_box and not selected:
        return  # mmdetection itself fails there: it looks for masks that it has not made
    pasted = set()
    for seed in range(6):
        seeded(seed)
        step = built("CopyPaste", max_num_pasted=6, selected=selected, paste_by_box=by_box)
        results = step({**picture(0, mask=not by_box), "mix_results": [picture(300, seed=seed, mask=not by_box)]})
        assert shares(results) == pytest.approx(counted(results["img"]), abs=1e-9)
        pasted.add(len(shares(results)))
    assert 2 in pasted


def test_mixing_mixed_pictures_multiplies_and_merges_shares() -> None:
    seeded(0)
    mosaic = built("Mosaic", img_scale=(SIDE, SIDE))
    first = mosaic({**picture(0), "mix_results": [picture(100), picture(0), picture(100)]})
    second = mosaic({**picture(200), "mix_results": [picture(0), picture(200), picture(0)]})
    before, mixed_in = shares(first), shares(second)
    results = built("MixUp", img_scale=(2 * SIDE, 2 * SIDE), ratio_range=(1, 1))({**first, "mix_results": [second]})
    expected = {name: (before.get(name, 0) + mixed_in.get(name, 0)) / 2 for name in ("0", "100", "200")}
    assert shares(results) == pytest.approx(expected)
    sample = packed(results)
    parts = [part.origin.dataset for part in sample.metainfo["loss_origins"]]
    for label, origin in zip(sample.gt_instances.labels.tolist(), sample.gt_instances.loss_origins.tolist()):
        assert parts[origin] == str(label // 100 * 100)


def test_a_later_crop_leaves_the_shares() -> None:
    seeded(0)
    mosaic = built("Mosaic", img_scale=(SIDE, SIDE))
    results = mosaic({**picture(0), "mix_results": [picture(100), picture(200), picture(300)]})
    before = shares(results)
    results = TRANSFORMS.build(dict(type="RandomCrop", crop_size=(90, 90), allow_negative_crop=True))(results)
    assert shares(results) == before


@pytest.mark.parametrize("name", ["Mosaic", "MixUp", "CopyPaste"])
def test_pictures_of_one_origin_stay_plain(name: str) -> None:
    seeded(0)
    pictures = [picture(first, mask=name == "CopyPaste", dataset="same", images={"folder/*": 0.5}) for first in STARTS]
    mixed = pictures[1:] if name == "Mosaic" else pictures[1:2]
    results = built(name)({**pictures[0], "mix_results": mixed})
    assert shares(results) == {"same": 1}
    sample = packed(results)
    assert "loss_origins" not in sample.gt_instances


def test_images_of_one_data_set_that_weigh_differently_are_two_parts() -> None:
    seeded(0)
    weights = {"0.png": 0.25, "300.png": {"rpn_head": 2}}
    own, other = (picture(first, mask=True, dataset="same", images=weights) for first in (0, 300))
    results = built("CopyPaste", selected=False)({**own, "mix_results": [other]})
    assert [part.origin for part in results[PROVENANCE].parts] == [Origin("same", {"": 0.25}), Origin("same", {"rpn_head": 2})]


def test_a_picture_without_loaded_weights_is_of_an_unnamed_origin() -> None:
    seeded(0)
    other = Compose([dict(type="LoadAnnotations", with_bbox=True)])(scene(100, weighted=False))
    for pictures in ([picture(0), other], [other, picture(0)]):
        own, mixed_in = copy.deepcopy(pictures)
        results = built("MixUp", img_scale=(SIDE, SIDE))({**own, "mix_results": [mixed_in]})
        assert set(shares(results)) == {"0", None}
        sample = packed(results)
        parts = [part.origin.dataset for part in sample.metainfo["loss_origins"]]
        for label, origin in zip(sample.gt_instances.labels.tolist(), sample.gt_instances.loss_origins.tolist()):
            assert parts[origin] == ("0" if label < 100 else None)


@pytest.mark.parametrize("name", ["Mosaic", "MixUp", "CopyPaste", "CachedMosaic", "CachedMixUp"])
def test_nothing_is_listened_to_where_nothing_was_loaded(name: str) -> None:
    """Steps keep no attribute and no label a trace; so stock pipelines are as they were."""
    step = built(name)
    attributes = set(vars(step))
    load = Compose([dict(type="LoadAnnotations", with_bbox=True, with_mask=name == "CopyPaste")])
    for _ in range(6):
        seeded(0)
        results = load(scene(weighted=False))
        if not hasattr(step, "results_cache"):
            results["mix_results"] = [load(scene(first, weighted=False)) for first in STARTS[1 : 4 if name == "Mosaic" else 2]]
        results = step(results)
        assert PROVENANCE not in results
        assert type(results[LABELS]) is np.ndarray
        assert set(vars(step)) == attributes


def test_a_subclass_that_calls_the_step_it_extends_mixes_once() -> None:
    for base, wanted in ((Mosaic, 3), (MixUp, 1), (CachedMosaic, 0)):

        class Mine(base):  # type: ignore[misc, valid-type]
            def transform(self, results: Any) -> Any:
                """Does as its parent."""
                return super().transform(results)

        found = []

        class Late(with_origins(base)):  # type: ignore[misc]
            def transform(self, results: Any) -> Any:
                """Does as its parent."""
                return super().transform(results)

        for cls in (base, Mine, Late):
            seeded(4)
            step = cls(img_scale=(SIDE, SIDE))
            keep_origins(step)
            for number in range(6 if not wanted else 1):
                results = picture(STARTS[number % 4])
                if wanted:
                    results["mix_results"] = [picture(first) for first in STARTS[1 : 1 + wanted]]
                results = step(results)
            found.append(shares(results))
        assert found[0] == found[1] == found[2]
        assert len(found[0]) > 1


class UsersMosaic(Mosaic):  # type: ignore[misc]
    """A user's, with a state of its own."""

    def __getstate__(self) -> Any:
        return {**vars(self), "pickled": True}

    def __setstate__(self, state: Any) -> None:
        vars(self).update(state, pad_val=7)


class LateMosaic(with_origins(Mosaic)):  # type: ignore[misc]
    """A user's that is derived from ours."""


def mixed_elsewhere(step: Any, pictures: list[Any]) -> tuple[str, bool, float, dict[str, float]]:
    results = step({**pictures[0], "mix_results": pictures[1:]})
    return type(step).__name__, step.pickled, step.pad_val, shares(results)


@pytest.mark.slow  # the process imports mmdetection
def test_a_users_step_goes_to_a_spawned_process() -> None:
    step, pictures = UsersMosaic(img_scale=(SIDE, SIDE)), [picture(first) for first in STARTS]
    keep_origins(step)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        name, was_pickled, padding, found = pool.submit(mixed_elsewhere, step, pictures).result()
    assert (name, was_pickled, padding) == ("UsersMosaic", True, 7)
    assert set(found) == {"0", "100", "200", "300"}


@pytest.mark.parametrize("cls", [Mosaic, CachedMosaic, UsersMosaic, LateMosaic])
def test_a_step_stays_what_it_is_and_copies_and_pickles(cls: Any) -> None:
    step = cls(img_scale=(SIDE, SIDE))
    shown = repr(step)
    keep_origins([dict(inner=step)])
    keep_origins(step)
    kept = type(step)
    assert isinstance(step, cls) and repr(step) == shown
    assert kept is with_origins(cls) is with_origins(kept)
    for other in (step, copy.deepcopy(step), pickle.loads(pickle.dumps(step))):
        assert type(other) is kept
        assert vars(other).keys() >= vars(step).keys()
    assert pickle.loads(pickle.dumps(kept)) is kept


def test_mmdetections_own_are_registered_and_no_two_are_one() -> None:
    for name in ("Mosaic", "CachedMosaic", "MixUp", "CachedMixUp", "CopyPaste", "Albu"):
        assert TRANSFORMS.get(f"{name}WithOrigins") is with_origins(TRANSFORMS.get(name))
        assert TRANSFORMS.get(f"{name}WithOrigins") is not TRANSFORMS.get(name)
    assert TRANSFORMS.get("AlbuWithOrigins").avoid_cache_randomness


def test_every_pipeline_of_a_data_set_is_prepared(tmp_path: Path) -> None:
    choice = dict(type="RandomChoice", transforms=[[dict(type="CachedMosaic")], [dict(type="CachedMixUp")]])
    inner = [dict(write_dataset(tmp_path, name), pipeline=[*pipeline()[:2], choice], lazy_init=True) for name in "ab"]
    for config in inner:
        config["metainfo"].pop("dataset_name")
    concatenated = dict(type="ConcatDataset", datasets=inner)
    outer = [dict(type="Mosaic"), dict(type="RandomApply", transforms=[dict(type="MixUp")])]
    dataset = DATASETS.build(dict(type="MultiImageMixDataset", dataset=concatenated, pipeline=outer))
    keep_origins(dataset)
    pipelines = [dataset.pipeline, *(part.pipeline for part in dataset.dataset.datasets)]
    mixing = [step for step in steps(pipelines) if hasattr(step, "get_indexes")]
    assert len(mixing) == 6 and all(type(step) is with_origins(type(step)) for step in mixing)


def stock(name: str, own: Any, other: Any) -> Any:
    """What the stock class of a step mixes of pictures."""
    step = TRANSFORMS.build(dict(type=name, **(dict(selected=False) if name == "CopyPaste" else {})))
    if not hasattr(step, "results_cache"):
        return step({**own, "mix_results": [copy.deepcopy(other) for _ in range(3 if name == "Mosaic" else 1)]})
    step.results_cache = [copy.deepcopy(other) for _ in range(5)]
    return step(own)


@pytest.mark.parametrize("name", ["Mosaic", "MixUp", "CopyPaste", "CachedMosaic", "CachedMixUp"])
@pytest.mark.parametrize("case", ["two data sets", "the objects of one are gone", "only one is known", "only the other is known"])
def test_mixing_by_a_stock_class_is_never_silent(name: str, case: str) -> None:
    unknown = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
    for seed in range(6):
        seeded(seed)
        own, other = picture(0, mask=True), picture(100, mask=True)
        if case.startswith("only"):
            plain = Compose([unknown])(scene(0 if "other" in case else 100, weighted=False))
            own, other = (plain, other) if "other" in case else (own, plain)
        results = stock(name, own, other)
        if case == "the objects of one are gone":
            rows = np.asarray(results[LABELS]) < 100
            for key in ("gt_bboxes", LABELS, "gt_ignore_flags"):
                results[key] = results[key][rows]
            results.pop("gt_masks", None)
        with pytest.raises(WeightError, match="record_mix"):
            packed(results)


@pytest.mark.parametrize("name", ["Mosaic", "CachedMosaic"])
def test_labels_that_are_built_anew_after_a_mix_are_an_error_unless_it_is_recorded(name: str) -> None:
    """Nothing tells any more that the stock class mixed pictures of two data sets."""
    seeded(0)
    results = stock(name, picture(0), picture(100))
    results[LABELS] = np.array(list(results[LABELS]))
    with pytest.raises(WeightError, match="keep_origins"):
        packed(results)
    loading = Compose([dict(type="LoadAnnotations", with_bbox=True), dict(type="LoadLossWeights", dataset="same")])
    pictures = [loading(scene(first, weighted=False)) for first in STARTS]
    results = built("Mosaic", img_scale=(SIDE, SIDE))({**pictures[0], "mix_results": pictures[1:]})
    results[LABELS] = np.array(list(results[LABELS]))
    assert packed(results, built("PackDetInputs")).metainfo["loss_origins"] == (Part(Origin("same")),)


def test_objects_of_one_data_set_keep_their_weights_even_in_a_stock_class() -> None:
    load = [dict(type="LoadAnnotations", with_bbox=True), dict(type="LoadLossWeights", dataset="a")]
    own, other = (Compose(load)(scene(first, weighted=first == 100)) for first in (0, 100))
    seeded(0)
    objects = packed(stock("Mosaic", own, other)).gt_instances
    assert objects.loss_weights.tolist() == [weight_of(label) if label >= 100 else 1 for label in objects.labels.tolist()]
    assert objects.labels.max() >= 100


def test_the_listener_goes_when_a_step_fails() -> None:
    step = built("MixUp")
    own, other = picture(0), picture(100)
    boxes = other["gt_bboxes"]
    own["img"] = None
    with pytest.raises(AttributeError):
        step({**own, "mix_results": [other]})
    assert "get_indexes" not in vars(step)
    assert other["gt_bboxes"] is boxes


def test_a_mixing_step_that_does_not_say_what_it_mixed_is_an_error() -> None:
    results, other = picture(0), picture(100)
    results["gt_bboxes"] = results["gt_bboxes"].cat([results["gt_bboxes"], other["gt_bboxes"]])
    for key in (LABELS, "gt_ignore_flags"):
        results[key] = np.concatenate([results[key], other[key]])
    with pytest.raises(WeightError, match="record_mix"):
        TRANSFORMS.build(dict(type="PackDetInputs"))(results)
    record_mix(results, [results, other], [3, 1])
    sample = packed(results)
    assert sample.metainfo["loss_origins"] == (Part(Origin("0"), 0.75), Part(Origin("100"), 0.25))
    assert sample.gt_instances.loss_origins.tolist() == [0] * 6 + [1] * 6


def test_a_detectors_batch_weighs_a_mosaic_by_area_and_its_objects_by_origin() -> None:
    model = build(weighted_config(model_config(FASTER_RCNN), "rpn_head", "roi_head.bbox_head"))
    weights: dict[int, Any] = {0: 0.25, 100: {"rpn_head": 4}, 200: {"": 3, "rpn_head": 0}, 300: {"roi_head": 9}}
    by_first = {0: 0.25, 100: 4, 200: 0, 300: 1}  # of each picture in the RPN
    pictures = []
    for first in STARTS:
        step = dict(type="LoadLossWeights", dataset=str(first), images={first: weights[first]})
        found = scene(first)
        found["img"][:] = COLOURS[first]
        pictures.append(Compose([dict(type="LoadAnnotations", with_bbox=True), step])(found))
    seeded(0)
    results = built("Mosaic", img_scale=(SIDE, SIDE))({**pictures[0], "mix_results": pictures[1:]})
    areas = counted(results["img"])
    sample = packed(results)
    with publish_batch(model, [sample]):
        batch = current_batch(model.rpn_head)
        background = batch.weights(model.rpn_head, "loss_cls")
        tables = batch.tables(model.rpn_head, "loss_cls")
    assert background == pytest.approx([sum(areas[str(first)] * by_first[first] for first in STARTS)])
    labels = sample.gt_instances.labels.tolist()
    assert len({label // 100 for label in labels}) == 4
    assert tables is not None
    assert tables[0][1:].tolist() == pytest.approx([by_first[label // 100 * 100] * weight_of(label) for label in labels])

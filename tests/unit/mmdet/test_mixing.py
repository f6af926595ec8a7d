"""The shares of mixed pictures, against a count of pixels: every picture is of one colour, and so is the padding."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from support.detectors import FASTER_RCNN, build, model_config, weighted_config
from support.scenes import scene, seeded, weight_of

from headweights import WeightError
from headweights.mmdet import current_batch, publish_batch, record_mix
from headweights.mmdet.carry import LABELS, PROVENANCE, Provenance
from headweights.mmdet.mixing import mix_provenance
from headweights.origins import Origin, Part

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
        results = TRANSFORMS.build(dict(type="Mosaic", img_scale=(SIDE, 120)))({**pictures[0], "mix_results": pictures[1:]})
        assert shares(results) == pytest.approx(counted(results["img"]), abs=1e-9)


def test_cached_mosaic_knows_which_pictures_it_took() -> None:
    step = TRANSFORMS.build(dict(type="CachedMosaic", img_scale=(SIDE, SIDE), max_cached_images=6))
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
        step = TRANSFORMS.build(dict(type="MixUp", img_scale=(SIDE, SIDE), ratio_range=(0.5, 1.6), pad_val=0))
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
    step = TRANSFORMS.build(
        dict(type="CachedMixUp", img_scale=(SIDE, SIDE), ratio_range=(0.6, 0.9), pad_val=0, max_cached_images=4)
    )
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
        step = TRANSFORMS.build(dict(type="CopyPaste", max_num_pasted=6, selected=selected, paste_by_box=by_box))
        results = step({**picture(0, mask=not by_box), "mix_results": [picture(300, seed=seed, mask=not by_box)]})
        assert shares(results) == pytest.approx(counted(results["img"]), abs=1e-9)
        pasted.add(len(shares(results)))
    assert 2 in pasted


def test_mixing_mixed_pictures_multiplies_and_merges_shares() -> None:
    seeded(0)
    mosaic = TRANSFORMS.build(dict(type="Mosaic", img_scale=(SIDE, SIDE)))
    first = mosaic({**picture(0), "mix_results": [picture(100), picture(0), picture(100)]})
    second = mosaic({**picture(200), "mix_results": [picture(0), picture(200), picture(0)]})
    before, mixed_in = shares(first), shares(second)
    results = TRANSFORMS.build(dict(type="MixUp", img_scale=(2 * SIDE, 2 * SIDE), ratio_range=(1, 1)))(
        {**first, "mix_results": [second]}
    )
    expected = {name: (before.get(name, 0) + mixed_in.get(name, 0)) / 2 for name in ("0", "100", "200")}
    assert shares(results) == pytest.approx(expected)
    sample = TRANSFORMS.build(dict(type="PackDetInputs"))(results)["data_samples"]
    parts = [part.origin.dataset for part in sample.metainfo["loss_origins"]]
    for label, origin in zip(sample.gt_instances.labels.tolist(), sample.gt_instances.loss_origins.tolist()):
        assert parts[origin] == str(label // 100 * 100)


def test_a_later_crop_leaves_the_shares() -> None:
    seeded(0)
    mosaic = TRANSFORMS.build(dict(type="Mosaic", img_scale=(SIDE, SIDE)))
    results = mosaic({**picture(0), "mix_results": [picture(100), picture(200), picture(300)]})
    before = shares(results)
    results = TRANSFORMS.build(dict(type="RandomCrop", crop_size=(90, 90), allow_negative_crop=True))(results)
    assert shares(results) == before


@pytest.mark.parametrize("name", ["Mosaic", "MixUp", "CopyPaste"])
def test_pictures_of_one_origin_stay_plain(name: str) -> None:
    seeded(0)
    pictures = [picture(first, mask=name == "CopyPaste", dataset="same", images={"folder/*": 0.5}) for first in STARTS]
    mixed = pictures[1:] if name == "Mosaic" else pictures[1:2]
    results = TRANSFORMS.build(dict(type=name))({**pictures[0], "mix_results": mixed})
    assert shares(results) == {"same": 1}
    sample = TRANSFORMS.build(dict(type="PackDetInputs"))(results)["data_samples"]
    assert "loss_origins" not in sample.gt_instances


def test_images_of_one_data_set_that_weigh_differently_are_two_parts() -> None:
    seeded(0)
    weights = {"0.png": 0.25, "300.png": {"rpn_head": 2}}
    own, other = (picture(first, mask=True, dataset="same", images=weights) for first in (0, 300))
    results = TRANSFORMS.build(dict(type="CopyPaste", selected=False))({**own, "mix_results": [other]})
    assert [part.origin for part in results[PROVENANCE].parts] == [Origin("same", {"": 0.25}), Origin("same", {"rpn_head": 2})]


def test_a_picture_without_loaded_weights_is_of_an_unnamed_origin() -> None:
    seeded(0)
    other = Compose([dict(type="LoadAnnotations", with_bbox=True)])(scene(100, weighted=False))
    for pictures in ([picture(0), other], [other, picture(0)]):
        own, mixed_in = copy.deepcopy(pictures)
        results = TRANSFORMS.build(dict(type="MixUp", img_scale=(SIDE, SIDE)))({**own, "mix_results": [mixed_in]})
        assert set(shares(results)) == {"0", None}
        sample = TRANSFORMS.build(dict(type="PackDetInputs"))(results)["data_samples"]
        parts = [part.origin.dataset for part in sample.metainfo["loss_origins"]]
        for label, origin in zip(sample.gt_instances.labels.tolist(), sample.gt_instances.loss_origins.tolist()):
            assert parts[origin] == ("0" if label < 100 else None)


@pytest.mark.parametrize("name", ["Mosaic", "MixUp", "CopyPaste", "CachedMosaic", "CachedMixUp"])
def test_nothing_is_listened_to_where_nothing_was_loaded(name: str) -> None:
    """Steps keep no attribute and no label a trace; so stock pipelines are as they were."""
    step = TRANSFORMS.build(dict(type=name))
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
    from mmdet.datasets.transforms import CachedMosaic, MixUp, Mosaic

    for base, wanted in ((Mosaic, 3), (MixUp, 1), (CachedMosaic, 0)):

        class Mine(base):  # type: ignore[misc, valid-type]
            def transform(self, results: Any) -> Any:
                """Does as its parent."""
                return super().transform(results)

        found = []
        for cls in (base, Mine):
            seeded(4)
            step = cls(img_scale=(SIDE, SIDE))
            for number in range(6 if not wanted else 1):
                results = picture(STARTS[number % 4])
                if wanted:
                    results["mix_results"] = [picture(first) for first in STARTS[1 : 1 + wanted]]
                results = step(results)
            found.append(shares(results))
        assert found[0] == found[1]
        assert len(found[0]) > 1


def test_the_listener_goes_when_a_step_fails() -> None:
    step = TRANSFORMS.build(dict(type="MixUp"))
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
    sample = TRANSFORMS.build(dict(type="PackDetInputs"))(results)["data_samples"]
    assert sample.metainfo["loss_origins"] == (Part(Origin("0"), 0.75), Part(Origin("100"), 0.25))
    assert sample.gt_instances.loss_origins.tolist() == [0] * 6 + [1] * 6


def test_provenance_of_a_mixing_step_of_ones_own() -> None:
    a, b = Provenance((Part(Origin("a")),)), Provenance((Part(Origin("b")),), objects_weighted=True)
    mixed = mix_provenance([a, mix_provenance([a, b, None], [1, 1, 2])], [30, 10])
    assert [(part.origin.dataset, part.share) for part in mixed.parts] == [("a", 0.8125), ("b", 0.0625), (None, 0.125)]
    assert mixed.objects_weighted
    assert [part.share for part in mix_provenance([a, b], [0, 0]).parts] == [0.5, 0.5]
    assert mix_provenance([a, a], [1, 2]) == a


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
    steps = [dict(type="Mosaic", img_scale=(SIDE, SIDE)), dict(type="PackDetInputs")]
    packed = Compose(steps)({**pictures[0], "mix_results": pictures[1:]})
    sample = packed["data_samples"]
    areas = counted(packed["inputs"].permute(1, 2, 0).numpy())
    with publish_batch(model, [sample]):
        batch = current_batch(model.rpn_head)
        background = batch.weights(model.rpn_head, "loss_cls")
        objects = batch.object_weights(model.rpn_head, "loss_cls")
    assert background == pytest.approx([sum(areas[str(first)] * by_first[first] for first in STARTS)])
    labels = sample.gt_instances.labels.tolist()
    assert len({label // 100 for label in labels}) == 4
    assert objects is not None
    assert objects[0].tolist() == pytest.approx([by_first[label // 100 * 100] * weight_of(label) for label in labels])

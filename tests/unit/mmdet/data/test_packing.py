"""Through every step of mmdetection's pipelines each object keeps its weight, and nothing else changes by a bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from mmcv.transforms import TRANSFORMS as MMCV_TRANSFORMS
from mmdet.registry import TRANSFORMS
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from support.scenes import scene, seeded, weight_of

from headweights import WeightError
from headweights.mmdet.data.mixing import keep_origins
from headweights.mmdet.data.trace import LABELS, PROVENANCE
from headweights.provenance.origin import Origin

STARTS = (0, 100, 200, 300)
LOAD = [dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]
# Steps that take no masks, and one that takes boxes as arrays only.
BOXES = dict(type="LoadAnnotations", with_bbox=True)
LOAD_FOR = {
    **{name: [BOXES] for name in ("MixUp", "Mosaic", "RandomAffine", "RandomCenterCropPad")},
    "CenterCrop": [{**BOXES, "box_type": None}],
}
LOSS_WEIGHTS = dict(type="LoadLossWeights", dataset="scenes")
PACK = dict(type="PackDetInputs")
SIDE = 160

# Every step that sees a picture with objects, with arguments that make it act: dropping, reordering and adding objects.
STEPS: dict[str, Any] = {
    "AutoAugment": dict(policies=[[dict(type="ShearX", prob=1.0, level=8), dict(type="Rotate", prob=1.0, level=8)]]),
    "AutoContrast": dict(prob=1.0, level=5),
    "Brightness": dict(prob=1.0, level=5),
    "CachedMixUp": dict(img_scale=(SIDE, SIDE), ratio_range=(0.6, 1.4), max_cached_images=2, pad_val=114.0),
    "CachedMosaic": dict(img_scale=(SIDE, SIDE), max_cached_images=8, pad_val=114.0),
    "CenterCrop": dict(crop_size=100),
    "Color": dict(prob=1.0, level=5),
    "ColorTransform": dict(prob=1.0, level=5),
    "Contrast": dict(prob=1.0, level=5),
    "CopyPaste": dict(max_num_pasted=5),
    "CutOut": dict(n_holes=3, cutout_shape=(20, 20)),
    "Equalize": dict(prob=1.0, level=5),
    "Expand": dict(prob=1.0),
    "FilterAnnotations": dict(min_gt_bbox_wh=(34, 34), by_mask=True),
    "FixScaleResize": dict(scale=(200, 120), keep_ratio=True),
    "FixShapeResize": dict(width=200, height=120),
    "GTBoxSubOne_GLIP": dict(),
    "Invert": dict(prob=1.0, level=5),
    "MinIoURandomCrop": dict(min_ious=(0.1,), min_crop_size=0.4),
    "MixUp": dict(img_scale=(SIDE, SIDE), ratio_range=(0.6, 1.4)),
    "Mosaic": dict(img_scale=(SIDE, SIDE)),
    "Pad": dict(size=(240, 240)),
    "PhotoMetricDistortion": dict(),
    "Posterize": dict(prob=1.0, level=5),
    "ProposalBroadcaster": dict(transforms=[dict(type="Resize", scale=(200, 200)), dict(type="RandomFlip", prob=1.0)]),
    "RandAugment": dict(
        aug_space=[[dict(type="TranslateX", prob=1.0, level=9)], [dict(type="ShearY", prob=1.0, level=9)]], aug_num=2
    ),
    "RandomAffine": dict(max_translate_ratio=0.3),
    "RandomApply": dict(transforms=[dict(type="RandomCrop", crop_size=(80, 80))], prob=0.5),
    "RandomCenterCropPad": dict(
        crop_size=(100, 100), ratios=(0.8, 1.0), mean=[0, 0, 0], std=[1, 1, 1], to_rgb=False, test_pad_mode=None
    ),
    "RandomChoice": dict(transforms=[[dict(type="RandomCrop", crop_size=(80, 80))], [dict(type="RandomFlip", prob=1.0)]]),
    "RandomChoiceResize": dict(scales=[(100, 100), (200, 200)]),
    "RandomCrop": dict(crop_size=(70, 70)),
    "RandomErasing": dict(n_patches=5, ratio=0.4),
    "RandomFlip": dict(prob=1.0, direction=["horizontal", "vertical", "diagonal"]),
    "RandomFlip_GLIP": dict(prob=1.0),
    "RandomGrayscale": dict(prob=1.0),
    "RandomOrder": dict(transforms=[dict(type="RandomCrop", crop_size=(90, 90)), dict(type="RandomFlip", prob=0.5)]),
    "RandomResize": dict(scale=[(100, 100), (200, 200)], resize_type="mmdet.Resize"),
    "RandomShift": dict(prob=1.0, max_shift_px=64),
    "Resize": dict(scale=(210, 130), keep_ratio=True),
    "ResizeShortestEdge": dict(scale=100),
    "Rotate": dict(prob=1.0, level=9),
    "SegRescale": dict(),
    "Sharpness": dict(prob=1.0, level=5),
    "ShearX": dict(prob=1.0, level=9),
    "ShearY": dict(prob=1.0, level=9),
    "Solarize": dict(prob=1.0, level=5),
    "SolarizeAdd": dict(prob=1.0, level=5),
    "TranslateX": dict(prob=1.0, level=9, max_mag=0.6),
    "TranslateY": dict(prob=1.0, level=9, max_mag=0.6),
    "YOLOXHSVRandomAug": dict(),
}
ELSEWHERE = {
    "Albu": "test_albu",
    "Corrupt": "test_corrupt",
    "InstaBoost": "test_load: it stands before LoadAnnotations",
    "MultiBranch": "test_branches",
    "TransformBroadcaster": "test_frames",
    "PackTrackInputs": "test_frames",
    "ToTensor": "test_labels_that_lost_their_trace_are_an_error",
    "RandomSamplingNegPos": "needs a language model's tokenizer; it builds labels anew",
}
# They load or pack a picture, or are given none with objects.
NO_OBJECTS = {
    "BaseFrameSample", "GeomTransform", "ImageToTensor", "InferencerLoader", "LoadAnnotations", "LoadEmptyAnnotations",
    "LoadImageFromFile", "LoadImageFromNDArray", "LoadMultiChannelImageFromFiles", "LoadPanopticAnnotations", "LoadProposals",
    "LoadTextAnnotations", "LoadTrackAnnotations", "PackDetInputs", "PackReIDInputs", "Transpose", "UniformRefFrameSample",
    "WrapFieldsToLists", "Compose", "KeyMapper", "MultiScaleFlipAug", "Normalize", "TestTimeAug",
}  # fmt: skip


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def loaded(first: int, seed: int, weighted: bool, load: Any = LOAD) -> dict[str, Any]:
    # The pictures of every other seed are of several data sets.
    step = dict(LOSS_WEIGHTS, dataset=dataset_of(first) if seed % 2 else "scenes")
    results: dict[str, Any] = Compose([*load, step] if weighted else load)(scene(first, seed))
    if load is not LOAD:
        results["img"] = results["img"].astype(np.float32)
    return results


def dataset_of(label: int) -> str:
    return f"scenes {label // 100}"


def run(step: Any, seed: int, weighted: bool) -> Any:
    """Feeds four pictures to a step, and returns what it and packing made of the last one."""
    seeded(seed)
    if weighted:
        keep_origins(step)
    results = None
    load = LOAD_FOR.get(type(step).__name__, LOAD)
    rounds = 6 if hasattr(step, "results_cache") else 1
    for number in range(rounds):
        results = loaded(STARTS[number % 4], seed, weighted, load)
        if hasattr(step, "get_indexes") and not hasattr(step, "results_cache"):
            wanted = 3 if type(step).__name__ == "Mosaic" else 1
            results["mix_results"] = [loaded(start, seed, weighted, load) for start in STARTS[1 : 1 + wanted]]
        if type(step).__name__ == "ProposalBroadcaster":
            results["proposals"] = results["gt_bboxes"].numpy()
            results["proposals_scores"] = np.ones(len(results["proposals"]), dtype=np.float32)
        results = step(results)
        (results or {}).pop("proposals", None)
    return None if results is None else TRANSFORMS.build(PACK)(results)


def objects_of(sample: Any) -> dict[int, float]:
    """The weight of each object of a data sample by its class, ignored objects included."""
    found: dict[int, float] = {}
    for instances in (sample.gt_instances, sample.ignored_instances):
        labels = instances.labels.tolist()
        weights = instances.get("loss_weights", torch.ones(len(labels)))
        assert len(weights) == len(labels) == len(instances.bboxes)
        assert weights.dtype == torch.float32
        for label, weight in zip(labels, weights.tolist()):
            assert found.setdefault(label, weight) == weight
    return found


@pytest.mark.parametrize("name", sorted(STEPS))
def test_each_object_keeps_its_weight_and_nothing_else_moves(name: str) -> None:
    survivors = set()
    for seed in range(6):
        weighted = run(TRANSFORMS.build(dict(type=name, **copy.deepcopy(STEPS[name]))), seed, weighted=True)
        drawn = np.random.get_state()[1].tolist()
        stock = run(TRANSFORMS.build(dict(type=name, **copy.deepcopy(STEPS[name]))), seed, weighted=False)
        assert np.random.get_state()[1].tolist() == drawn
        assert (weighted is None) == (stock is None)
        if weighted is None:
            continue
        assert torch.equal(weighted["inputs"], stock["inputs"])
        sample, plain = weighted["data_samples"], stock["data_samples"]
        for instances, others in (
            (sample.gt_instances, plain.gt_instances),
            (sample.ignored_instances, plain.ignored_instances),
        ):
            assert type(instances.bboxes) is type(others.bboxes)
            assert torch.equal(*(getattr(boxes.bboxes, "tensor", boxes.bboxes) for boxes in (instances, others)))
            assert torch.equal(instances.labels, others.labels)
            assert instances.labels.dtype == others.labels.dtype
        for label, weight in objects_of(sample).items():
            assert weight == weight_of(label)
            survivors.add(label)
        parts = sample.metainfo["loss_origins"]
        assert sum(part.share for part in parts) == pytest.approx(1)
        assert len(parts) == 1 or seed % 2
        for instances in (sample.gt_instances, sample.ignored_instances):
            origins = instances.get("loss_origins", torch.zeros(len(instances), dtype=torch.int64))
            assert ("loss_origins" in instances) == (len(parts) > 1)
            for label, origin in zip(instances.labels.tolist(), origins.tolist()):
                assert parts[origin].origin == Origin(dataset_of(label) if seed % 2 else "scenes")
    assert {label for label in survivors if weight_of(label) != 1}


def test_no_step_of_mmdetection_or_mmcv_is_forgotten() -> None:
    registered = {name for name, cls in TRANSFORMS.module_dict.items() if cls.__module__.startswith("mmdet.datasets.transforms")}
    registered |= {name for name, cls in MMCV_TRANSFORMS.module_dict.items() if cls.__module__.startswith("mmcv")}
    registered -= {"LoadOneDLSegmentation", "LoadLineAnnotations", "LinesToArray", "PackLineDetectionInputs", "ImageAug"}  # lanes
    assert registered <= STEPS.keys() | ELSEWHERE.keys() | NO_OBJECTS


def test_the_split_into_ignored_and_other_objects() -> None:
    sample = run(TRANSFORMS.build(dict(type="RandomFlip", prob=1.0)), 0, weighted=True)["data_samples"]
    assert sample.gt_instances.labels.tolist() == [0, 1, 2, 4, 5, 6] or sample.gt_instances.labels.min() >= 0
    assert len(sample.ignored_instances.loss_weights) == len(sample.ignored_instances.labels) == 2
    assert sample.metainfo["loss_origins"][0].origin == Origin("scenes")


def test_without_weights_of_objects_a_picture_carries_nothing_but_its_origin() -> None:
    results = Compose([*LOAD, LOSS_WEIGHTS])(scene(weighted=False))
    sample = TRANSFORMS.build(PACK)(results)["data_samples"]
    assert sample.metainfo["loss_origins"][0].origin == Origin("scenes")
    assert set(sample.gt_instances.keys()) == {"bboxes", "labels", "masks"}


def test_a_picture_that_loses_its_weighted_objects_has_no_weights_left() -> None:
    results = Compose([*LOAD, LOSS_WEIGHTS])(scene())
    keep = np.asarray(results[LABELS]) % 3 == 0
    for key in ("gt_bboxes", LABELS, "gt_ignore_flags", "gt_masks"):
        results[key] = results[key][keep]
    assert "loss_weights" not in TRANSFORMS.build(PACK)(results)["data_samples"].gt_instances


@pytest.mark.parametrize("lose", [list, lambda labels: torch.from_numpy(np.asarray(labels)), np.unique, np.array])
def test_labels_that_lost_their_trace_are_an_error(lose: Any) -> None:
    results = Compose([*LOAD, LOSS_WEIGHTS])(scene())
    lost = lose(results[LABELS])
    results[LABELS] = np.array(lost) if isinstance(lost, list) else lost
    with pytest.raises(WeightError, match="gt_bboxes_labels") as error:
        TRANSFORMS.build(PACK)(results)
    assert "'scenes'" in str(error.value)
    assert "folder/0.png" in str(error.value)


def test_labels_with_weights_and_an_image_without_provenance_are_an_error() -> None:
    results = Compose([*LOAD, LOSS_WEIGHTS])(scene())
    del results[PROVENANCE]
    with pytest.raises(WeightError, match="record_mix"):
        TRANSFORMS.build(PACK)(results)
    with pytest.raises(WeightError, match="record_mix"):
        TRANSFORMS.build(dict(type="PackTrackInputs"))({LABELS: [results[LABELS]], "img_path": ["folder/0.png"]})


def test_albu() -> None:
    """Row numbers travel instead of labels: what Albumentations does to lists of them, and that it drops objects."""
    pytest.importorskip("albumentations", reason="Albumentations is not installed")
    step = dict(
        type="Albu",
        transforms=[dict(type="RandomCrop", height=90, width=90, p=1.0), dict(type="HorizontalFlip", p=0.5)],
        bbox_params=dict(
            type="BboxParams",
            format="pascal_voc",
            label_fields=["gt_bboxes_labels", "gt_ignore_flags"],
            min_visibility=0.1,
            filter_lost_elements=True,
        ),
        keymap={"img": "image", "gt_bboxes": "bboxes"},
    )
    for fields in (step["bbox_params"], {**step["bbox_params"]}):  # type: ignore[dict-item]
        fields.pop("filter_lost_elements") if fields is not step["bbox_params"] else None
        for seed in range(4):
            seeded(seed)
            results = Compose([dict(type="LoadAnnotations", with_bbox=True), LOSS_WEIGHTS])(scene(seed=seed))
            albu = TRANSFORMS.build({**step, "bbox_params": fields})
            keep_origins(albu)
            results = albu(results)
            found = objects_of(TRANSFORMS.build(PACK)(results)["data_samples"])
            assert 0 < len(found) < 8
            assert found == {label: weight_of(label) for label in found}


def test_a_step_like_albu_keeps_weights_without_albumentations() -> None:
    class LikeAlbu(TRANSFORMS.get("Albu")):  # type: ignore[misc]
        def __init__(self) -> None: ...

        def transform(self, results: dict[str, Any]) -> dict[str, Any]:
            """Turns labels into a list and back, and keeps every other object."""
            results = {**results, LABELS: np.array(list(results[LABELS])[::2], dtype=np.int64)}
            for key in ("gt_bboxes", "gt_ignore_flags", "gt_masks"):
                results[key] = results[key][::2]
            return results

    pipeline = Compose([*LOAD, LOSS_WEIGHTS])
    pipeline.transforms.append(LikeAlbu())
    with pytest.raises(WeightError, match="gt_bboxes_labels"):
        TRANSFORMS.build(PACK)(pipeline(scene()))
    pipeline.transforms.append(TRANSFORMS.build(PACK))
    keep_origins(pipeline)
    found = objects_of(pipeline(scene())["data_samples"])
    assert found == {label: weight_of(label) for label in range(0, 8, 2)}


@pytest.mark.skipif("Corrupt" not in TRANSFORMS.module_dict, reason="only upstream's mmdetection has Corrupt")
def test_corrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes pixels only, with a package (imagecorruptions) that is not installed: another change stands in for it."""
    monkeypatch.setattr("mmdet.datasets.transforms.transforms.corrupt", lambda image, **kwargs: 255 - image)
    sample = run(TRANSFORMS.build(dict(type="Corrupt", corruption="fog")), 0, weighted=True)["data_samples"]
    assert objects_of(sample) == {label: weight_of(label) for label in range(8)}


def test_branches() -> None:
    branches = dict(sup=[dict(type="RandomCrop", crop_size=(90, 90)), PACK], unsup=[dict(type="RandomFlip", prob=1.0), PACK])
    step = TRANSFORMS.build(dict(type="MultiBranch", branch_field=list(branches), **branches))
    samples = step(loaded(0, 0, True))["data_samples"]
    for sample in samples.values():
        assert objects_of(sample) == {label: weight_of(label) for label in objects_of(sample)}
        assert sample.metainfo["loss_origins"]


def test_frames() -> None:
    """A video: LoadLossWeights and cropping inside of TransformBroadcaster, PackTrackInputs behind it."""
    steps = [dict(type="LoadTrackAnnotations"), LOSS_WEIGHTS, dict(type="RandomCrop", crop_size=(90, 90))]
    frames = []
    for first in (0, 100):
        frame = scene(first)
        for number, instance in enumerate(frame["instances"]):
            instance["instance_id"] = number
        frames.append(frame)
    video = {key: [frame[key] for frame in frames] for key in frames[0]}
    seeded(3)
    results = TRANSFORMS.build(dict(type="TransformBroadcaster", transforms=steps))(video)
    samples = TRANSFORMS.build(dict(type="PackTrackInputs"))(results)["data_samples"].video_data_samples
    for sample, first in zip(samples, (0, 100)):
        found = objects_of(sample)
        assert found == {label: weight_of(label) for label in found}
        assert all(first <= label < first + 8 for label in found)
        assert sample.metainfo["loss_origins"]


def test_a_pack_step_of_ones_own_packs_weights_too() -> None:
    from mmdet.datasets.transforms import PackDetInputs

    class Late(PackDetInputs):  # type: ignore[misc]
        def transform(self, results: Any) -> Any:
            """Adds a field."""
            packed = super().transform(results)
            packed["data_samples"].set_metainfo(dict(mine=1))
            return packed

    results = Compose([*LOAD, LOSS_WEIGHTS])(scene())
    sample = Late()(results)["data_samples"]
    assert objects_of(sample) == {label: weight_of(label) for label in range(8)}
    assert sample.metainfo["mine"] == 1
    assert PROVENANCE in results

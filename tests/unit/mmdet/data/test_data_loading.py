"""Files, data sets, wrappers, mixing, workers: what a data loader hands to a detector, against what the files say.

Every object of both data sets is of a class of its own, so a class tells the data set, the image and the weight.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.dataset import pseudo_collate, worker_init_fn
from mmengine.registry import DefaultScope
from support.coco import write_dataset
from support.scenes import weight_of
from torch.utils.data import DataLoader

from headweights.mmdet.data.mixing import keep_origins
from headweights.provenance.origin import Origin

SETS = ("real", "rendered")
IMAGES = 4
CLASSES = tuple(f"class {number}" for number in range(2 * 3 * IMAGES))
BY_IMAGE = {"real": {1: 0.5, 2: {"rpn_head": 0.25}}, "rendered": {0: 2}}
BY_NAME = {"real": {}, "rendered": {"rendered/[23].png": 0.75}}


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def origin_of(label: int) -> Origin:
    name, image = SETS[label // (3 * IMAGES)], label // 3 % IMAGES
    if name == "rendered" and image >= 2:
        return Origin(name, {"": 0.75})
    given = BY_IMAGE[name].get(image)
    return Origin(name, {} if given is None else given if isinstance(given, dict) else {"": given})


def datasets(folder: Path, *steps: dict[str, Any], weighted: bool = True) -> list[dict[str, Any]]:
    configs = []
    for number, name in enumerate(SETS):
        first = number * 3 * IMAGES
        config = write_dataset(
            folder,
            name,
            images=IMAGES,
            seed=number,
            classes=CLASSES,
            first_class=first,
            image_weights=BY_IMAGE[name],
            object_weights={label - first: weight_of(label) for label in range(first, first + 3 * IMAGES) if label % 3},
        )
        load: list[dict[str, Any]] = [
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        ]
        if weighted:
            load.append(dict(type="LoadLossWeights", dataset=name, images=BY_NAME[name]))
        config["metainfo"].pop("dataset_name")
        configs.append({**config, "pipeline": [*load, *steps]})
    return configs


PACK = dict(type="PackDetInputs")
NO_MASK = dict(type="LoadAnnotations", with_bbox=True)
SINGLE = [
    dict(type="Resize", scale=(80, 80)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomCrop", crop_size=(70, 70)),
    PACK,
]
CACHED = [
    dict(type="CachedMosaic", img_scale=(96, 96), max_cached_images=6),
    dict(type="CachedMixUp", img_scale=(96, 96), max_cached_images=4),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(2, 2)),
    PACK,
]
MOSAIC = [dict(type="Mosaic", img_scale=(96, 96)), dict(type="RandomAffine", border=(-48, -48)), dict(type="MixUp"), PACK]


def dataset(folder: Path, kind: str, weighted: bool) -> Any:
    data = DATASETS.build(described(folder, kind, weighted))
    if weighted:
        keep_origins(data)
    return data


def described(folder: Path, kind: str, weighted: bool) -> dict[str, Any]:
    if kind in ("single", "cached"):
        steps = SINGLE if kind == "single" else CACHED
        return dict(type="ConcatDataset", datasets=datasets(folder, *steps, weighted=weighted))
    configs = datasets(folder, weighted=weighted)
    if kind == "mosaic":
        for config in configs:
            config["pipeline"][1] = NO_MASK
    mix = MOSAIC if kind == "mosaic" else [dict(type="CopyPaste"), PACK]
    return dict(type="MultiImageMixDataset", dataset=dict(type="ConcatDataset", datasets=configs), pipeline=mix)


def samples(data: Any, context: str) -> Iterator[tuple[torch.Tensor, Any]]:
    """Three passes over a data set by two worker processes, which are seeded as mmengine's are."""
    loader = DataLoader(
        data,
        batch_size=2,
        num_workers=2,
        collate_fn=pseudo_collate,
        persistent_workers=True,
        multiprocessing_context=context,
        worker_init_fn=functools.partial(worker_init_fn, num_workers=2, rank=0, seed=5),
    )
    for _ in range(3):
        for batch in loader:
            yield from zip(batch["inputs"], batch["data_samples"])


@pytest.mark.parametrize(
    ("kind", "context"),
    [
        ("single", "fork"),
        pytest.param("single", "spawn", marks=pytest.mark.slow),  # every worker imports mmdetection
        ("cached", "fork"),
        ("mosaic", "fork"),
        ("copy", "fork"),
    ],
)
def test_what_arrives_is_what_the_files_say(tmp_path: Path, kind: str, context: str) -> None:
    weighted, seen, origins_seen = 0, set(), set()
    stock = samples(dataset(tmp_path, kind, weighted=False), "fork")
    for inputs, sample in samples(dataset(tmp_path, kind, weighted=True), context):
        same_inputs, plain = next(stock)
        assert torch.equal(inputs, same_inputs)
        assert torch.equal(sample.gt_instances.bboxes.tensor, plain.gt_instances.bboxes.tensor)
        assert torch.equal(sample.gt_instances.labels, plain.gt_instances.labels)
        parts = sample.metainfo["loss_origins"]
        assert sum(part.share for part in parts) == pytest.approx(1)
        objects = sample.gt_instances
        weights = objects.get("loss_weights", torch.ones(len(objects))).tolist()
        origins = objects.get("loss_origins", torch.zeros(len(objects), dtype=torch.int64)).tolist()
        for label, weight, part in zip(objects.labels.tolist(), weights, origins):
            assert weight == weight_of(label)
            assert parts[part].origin == origin_of(label)
            seen.add(label)
        weighted += "loss_weights" in objects
        origins_seen.add(len(parts))
    assert next(stock, None) is None
    assert weighted > 6
    assert len(seen) > 18
    assert (1 in origins_seen) if kind == "single" else max(origins_seen) > 1


def test_a_video(tmp_path: Path) -> None:
    """Weights of some of its images and objects, sampled, loaded and packed frame by frame."""
    (tmp_path / "video").mkdir()
    images, annotations = [], []
    for number in range(3):
        cv2.imwrite(str(tmp_path / "video" / f"{number}.png"), np.zeros((96, 96, 3), dtype=np.uint8))
        images.append(dict(id=number + 1, file_name=f"video/{number}.png", height=96, width=96, frame_id=number, video_id=1))
        box = dict(bbox=[5, 5, 40, 40], area=1600, iscrowd=0, category_id=1, instance_id=1, video_id=1, image_id=number + 1)
        annotations += [dict(box, id=2 * number + 1, category_id=9), dict(box, id=2 * number + 2)]
    images[1]["loss_weight"] = 0.5
    annotations[5]["loss_weight"] = 0.25
    described = dict(images=images, annotations=annotations, categories=[dict(id=1, name="thing")], videos=[dict(id=1, name="v")])
    (tmp_path / "video.json").write_text(json.dumps(described))
    steps = [dict(type="LoadImageFromFile"), dict(type="LoadTrackAnnotations"), dict(type="LoadLossWeights", dataset="video")]
    data = DATASETS.build(
        dict(
            type="BaseVideoDataset",
            data_root=str(tmp_path),
            ann_file="video.json",
            data_prefix=dict(img_path=""),
            metainfo=dict(classes=("thing",)),
            pipeline=[
                dict(type="UniformRefFrameSample", num_ref_imgs=2, frame_range=2),
                dict(type="TransformBroadcaster", transforms=steps),
                dict(type="PackTrackInputs"),
            ],
        )
    )
    found = {}
    for _ in range(20):
        for sample in data[0]["data_samples"].video_data_samples:
            weights = sample.gt_instances.get("loss_weights", torch.ones(1)).tolist()
            found[sample.metainfo["frame_id"]] = (sample.metainfo["loss_origins"][0].origin.weights, weights)
    assert found == {0: ({}, [1]), 1: ({"": 0.5}, [1]), 2: ({}, [0.25])}

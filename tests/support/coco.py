"""A small COCO data set of drawn boxes on noise, written to a folder, and a Runner's config that trains on several of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config

from support.detectors import FASTER_RCNN, model_config, weighted_config

CLASSES = ("thing",)
_NUMBERS = itertools.count()


def write_dataset(
    folder: Path,
    name: str,
    images: int = 4,
    size: int = 96,
    seed: int = 0,
    classes: Sequence[str] = CLASSES,
    first_class: int = 0,
    image_weights: Mapping[int, Any] | None = None,
    object_weights: Mapping[int, Any] | None = None,
) -> dict[str, Any]:
    """Writes pictures and `<name>.json`; returns the config of a CocoDataset of it, without pipeline.

    Objects are of one class after the other, from `first_class` on. The weights are those of images by id, of objects by
    annotation id; they become ``loss_weight``.
    """
    rng = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True, exist_ok=True)
    annotations: list[dict[str, Any]] = []
    for image in range(images):
        picture = rng.integers(0, 90, (size, size, 3), dtype=np.uint8)
        for _ in range(3):
            x, y = (int(v) for v in rng.integers(0, size - 40, 2))
            w, h = (int(v) for v in rng.integers(16, 40, 2))
            cv2.rectangle(picture, (x, y), (x + w, y + h), (200, 220, 180), -1)
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=image,
                    category_id=(first_class + len(annotations)) % len(classes),
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                )
            )
        cv2.imwrite(str(folder / name / f"{image}.png"), picture)
    described = dict(
        images=[dict(id=image, file_name=f"{image}.png", height=size, width=size) for image in range(images)],
        annotations=annotations,
        categories=[dict(id=number, name=name) for number, name in enumerate(classes)],
    )
    for entries, weights in ((described["images"], image_weights), (annotations, object_weights)):
        for entry in entries:
            if entry["id"] in (weights or {}):
                entry["loss_weight"] = weights[entry["id"]]  # type: ignore[index]
    (folder / f"{name}.json").write_text(json.dumps(described))
    return dict(
        type="CocoDataset",
        data_root=str(folder),
        ann_file=f"{name}.json",
        data_prefix=dict(img=name),
        metainfo=dict(classes=tuple(classes), dataset_name=name),
    )


def pipeline(*steps: dict[str, Any]) -> list[dict[str, Any]]:
    """A training pipeline that ends with these steps, after PackDetInputs."""
    return [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="Resize", scale=(96, 96), keep_ratio=True),
        dict(type="RandomFlip", prob=0.5),
        dict(type="PackDetInputs"),
        *steps,
    ]


def add_fields(**fields: Any) -> dict[str, Any]:
    """The seed's pipeline step; `rpn_head=0.3` stands for the field 'rpn_head.loss_weight'."""
    return dict(
        type="AddFieldToImgMetas", fields=[f"{head}.loss_weight" for head in fields], values=list(fields.values()), replace=True
    )


def runner_config(
    work_dir: Path, datasets: list[dict[str, Any]], *weighted: str, model: str = FASTER_RCNN, epochs: int = 1, **more: Any
) -> Config:
    """A whole config, as a user's: a narrow model with these heads weighted, on a ConcatDataset, by epochs, on the CPU."""
    narrow = weighted_config(model_config(model), *weighted)
    config: dict[str, Any] = dict(
        custom_imports=dict(imports=["headweights.mmdet"], allow_failed_imports=False),
        default_scope="mmdet",
        model=narrow,
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=True),
            dataset=dict(type="ConcatDataset", datasets=datasets),
        ),
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=epochs),
        optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.001)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1), logger=dict(type="LoggerHook", interval=1)),
        work_dir=str(work_dir),
        # mmengine's own names count seconds, and two runs of one name share a logger and its file.
        experiment_name=f"{work_dir.name}-{next(_NUMBERS)}",
        log_level="ERROR",
        randomness=dict(seed=0),
        **more,
    )
    return Config(config)

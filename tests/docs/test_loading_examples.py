"""The code and the files of docs/by_image.md and docs/by_object.md do what the text around them says."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from support.scenes import scene, weight_of

from headweights.mmdet import image_table, record_mix

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("a/1.jpg", "a/2.jpg", "night/deep/3.jpg")


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def block(page: str, language: str, number: int = 0) -> str:
    found = re.findall(rf"^( *)```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    return textwrap.dedent(found[number][1])


def run(page: str, number: int, **names: Any) -> dict[str, Any]:
    exec(compile(block(page, "python", number), page, "exec"), names)
    return names


def dataset(folder: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]], **more: Any) -> Any:
    for name in NAMES:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / name), np.full((480, 640, 3), 90, dtype=np.uint8))
    described = dict(images=images, annotations=annotations, categories=[dict(id=3, name="thing")])
    (folder / "real.json").write_text(json.dumps(described))
    config = dict(type="CocoDataset", data_root=str(folder), ann_file="real.json", data_prefix=dict(img="images"))
    return DATASETS.build({**config, "metainfo": dict(classes=("thing",), dataset_name="real"), **more})


def test_the_coco_files(tmp_path: Path) -> None:
    images = json.loads(block("docs/by_image.md", "json"))["images"]
    annotations = json.loads(block("docs/by_object.md", "json"))["annotations"]
    steps = [
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="LoadLossWeights", dataset="real"),
        dict(type="PackDetInputs"),
    ]
    data = dataset(tmp_path, images, annotations, pipeline=steps)
    first, second = (data[number]["data_samples"] for number in range(2))
    assert first.gt_instances.loss_weights.tolist() == [np.float32(0.3)]
    assert first.metainfo["loss_origins"][0].origin.weights == {"": 0.5}
    assert second.metainfo["loss_origins"][0].origin.weights == {"rpn_head": 1.0, "roi_head.bbox_head.loss_cls": 0.2}


def test_the_pipeline_reads_the_csv_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quality.csv").write_text(block("docs/by_image.md", "csv"))
    pipeline = run("docs/by_image.md", 0)["train_pipeline"]
    images = [dict(id=number, file_name=name, height=480, width=640) for number, name in enumerate(NAMES)]
    data = dataset(tmp_path, images, [], pipeline=pipeline)
    expected = [{"": 0.5}, {"roi_head.bbox_head": 0.2}, {"": 0.3}]
    assert [data[number]["data_samples"].metainfo["loss_origins"][0].origin.weights for number in range(3)] == expected
    table = image_table(data, "quality.csv")
    assert [table.weights(number) for number in range(3)] == expected
    assert table.mean_weight(["rpn_head.loss_cls", "rpn_head", ""]) == pytest.approx((0.5 + 1 + 0.3) / 3)


def test_the_function() -> None:
    weigh = run("docs/by_image.md", 1)["weigh"]
    assert weigh({"instances": [{}] * 51}) == {"roi_head.bbox_head.loss_bbox": 0.5}
    assert weigh({"instances": []}) is None


def loaded(first: int) -> dict[str, Any]:
    steps = [dict(type="LoadAnnotations", with_bbox=True), dict(type="LoadLossWeights", dataset=str(first))]
    results: dict[str, Any] = Compose(steps)(scene(first))
    return results


def test_the_step_that_drops_objects_keeps_weights() -> None:
    run("docs/by_object.md", 0, BaseTransform=BaseTransform, TRANSFORMS=TRANSFORMS)
    results = loaded(0)
    results["gt_bboxes"].tensor[1] = 0
    sample = Compose([dict(type="DropTinyObjects"), dict(type="PackDetInputs")])(results)["data_samples"]
    assert 1 not in sample.gt_instances.labels
    assert sample.gt_instances.loss_weights.tolist() == [weight_of(label) for label in sample.gt_instances.labels.tolist()]


def test_the_mixing_step_says_what_it_mixed() -> None:
    run("docs/by_object.md", 1, BaseTransform=BaseTransform, TRANSFORMS=TRANSFORMS, np=np, record_mix=record_mix)
    results = {**loaded(0), "mix_results": [loaded(100)]}
    sample = Compose([dict(type="SideBySide"), dict(type="PackDetInputs")])(results)["data_samples"]
    assert [(part.origin.dataset, part.share) for part in sample.metainfo["loss_origins"]] == [("0", 0.5), ("100", 0.5)]
    assert sample.gt_instances.loss_weights.tolist() == [weight_of(label) for label in sample.gt_instances.labels.tolist()]
    assert sample.gt_instances.loss_origins.tolist() == [label // 100 for label in sample.gt_instances.labels.tolist()]

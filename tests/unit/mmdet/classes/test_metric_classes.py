"""Which class a metric takes the categories of its COCO file for: the stock metric, and one that goes by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import METRICS
from support.class_order import CLASSES, in_file_order, without

from headweights.mmdet.classes.metrics import mislabelled_by, number_metric_by_name


def results_of(described: dict[str, Any], label: int) -> list[dict[str, Any]]:
    """Perfect predictions of the objects of one category, with a label."""
    root = Path(described["data_root"])
    found = []
    file = json.loads((root / described["ann_file"]).read_text())
    names = {category["id"]: category["name"] for category in file["categories"]}
    for image in file["images"]:
        boxes = [
            annotation["bbox"]
            for annotation in file["annotations"]
            if annotation["image_id"] == image["id"] and names[annotation["category_id"]] == CLASSES[label]
        ]
        found.append((image, [[x, y, x + w, y + h] for x, y, w, h in boxes]))
    return [dict(image=image, boxes=boxes, label=label) for image, boxes in found]


def score(metric: Any, described: dict[str, Any], *labels: int) -> dict[str, float]:
    """What a metric says of perfect predictions of these labels."""
    metric.dataset_meta = dict(classes=CLASSES)
    predicted = [results_of(described, label) for label in labels]
    for per_label in zip(*predicted):
        image = per_label[0]["image"]
        boxes = [box for of_label in per_label for box in of_label["boxes"]]
        numbers = [of_label["label"] for of_label in per_label for _ in of_label["boxes"]]
        sample = dict(
            img_id=image["id"],
            ori_shape=(image["height"], image["width"]),
            pred_instances=dict(
                bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                scores=torch.ones(len(boxes)),
                labels=torch.tensor(numbers, dtype=torch.long),
            ),
        )
        metric.process({}, [sample])
    scores: dict[str, float] = metric.evaluate(len(predicted[0]))
    return scores


def metric(described: dict[str, Any], kind: str = "CocoMetric") -> Any:
    ann_file = str(Path(described["data_root"]) / described["ann_file"])
    return METRICS.build(dict(type=kind, ann_file=ann_file, classwise=True))


def test_perfect_predictions_score_1_only_by_name(tmp_path: Path) -> None:
    described = in_file_order(tmp_path, "set", ("dog", "person", "car"))
    stock = metric(described)
    assert mislabelled_by(stock._coco_api, CLASSES) == {"dog": "car", "car": "dog"}
    assert score(stock, described, 0, 1, 2)["coco/bbox_mAP"] < 0.5
    assert score(metric(described, "CocoMetricByName"), described, 0, 1, 2)["coco/bbox_mAP"] == 1


def test_a_class_that_the_file_lacks_shifts_none_and_does_not_count(tmp_path: Path) -> None:
    described = in_file_order(tmp_path, "set", without("car"))
    stock = metric(described)
    assert mislabelled_by(stock._coco_api, CLASSES) == {"person": "car", "dog": "person"}
    with pytest.raises(IndexError):
        score(stock, described, 1, 2)
    by_name = metric(described)
    number_metric_by_name(by_name, dict(classes=CLASSES))
    number_metric_by_name(by_name, dict(classes=CLASSES))
    assert mislabelled_by(by_name._coco_api, CLASSES) == {}
    scores = score(by_name, described, 0, 1, 2)
    assert scores["coco/bbox_mAP"] == 1
    assert scores["coco/person_precision"] == scores["coco/dog_precision"] == 1

"""Training with files that list the classes in another order: refused in words, or by name, up to what the model sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mmdet.models import RetinaNet
from mmdet.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from support.class_order import CLASSES, in_file_order, names_of_objects
from support.coco import pipeline, runner_config
from support.detectors import RETINANET

from headweights import WeightError
from headweights.mmdet.classes.order import LabelsByName
from headweights.mmdet.data.source_datasets import source_datasets

REVERSED = ("dog", "person", "car")
RIGHT = ("car", "person")


@HOOKS.register_module(force=True)
class SeenLabels(Hook):
    """Collects, for every object that the model trains on, its width and its label."""

    def before_train(self, runner: Runner) -> None:
        self.seen: set[tuple[int, str]] = set()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        for sample in data_batch["data_samples"]:
            objects = sample.gt_instances
            boxes = getattr(objects.bboxes, "tensor", objects.bboxes)
            for width, label in zip((boxes[:, 2] - boxes[:, 0]).tolist(), objects.labels.tolist()):
                self.seen.add((round(4 * width), CLASSES[label]))


@MODELS.register_module(force=True)
class Perfect(RetinaNet):  # type: ignore[misc]
    """Predicts what its images show; the width of a box tells what that is in the validation of these tests."""

    def predict(self, batch_inputs: Any, batch_data_samples: Any, rescale: bool = True) -> Any:
        names = dict(zip((90, 80, 70), REVERSED))
        for sample in batch_data_samples:
            boxes = getattr(sample.gt_instances.bboxes, "tensor", sample.gt_instances.bboxes)
            shown = [names[round(4 * width)] for width in (boxes[:, 2] - boxes[:, 0]).tolist()]
            labels = boxes.new_tensor([CLASSES.index(name) for name in shown]).long()
            sample.pred_instances = InstanceData(bboxes=boxes, scores=boxes.new_ones(len(boxes)), labels=labels)
        return batch_data_samples


def part(folder: Path, name: str, listed: tuple[str, ...], **more: Any) -> dict[str, Any]:
    return dict(in_file_order(folder, name, listed), pipeline=pipeline(), **more)


def validation(folder: Path, name: str, listed: tuple[str, ...], metric: str = "CocoMetric", **more: Any) -> dict[str, Any]:
    """The part of a config that validates."""
    steps = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(96, 96), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
    ]
    data = dict(in_file_order(folder, name, listed), pipeline=steps, test_mode=True, **more)
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False), dataset=data)
    evaluator = dict(type=metric, ann_file=str(folder / f"{name}.json"))
    return dict(val_dataloader=loader, val_cfg=dict(type="ValLoop"), val_evaluator=evaluator)


def config(folder: Path, data: list[dict[str, Any]], hook: dict[str, Any] | None = None, **more: Any) -> Any:
    hooks = [] if hook is None else [dict(type="LossWeightHook", interval=0, **hook)]
    made = runner_config(folder / "run", data, model=RETINANET, custom_hooks=[*hooks, dict(type="SeenLabels")], **more)
    made.model.bbox_head.num_classes = len(CLASSES)
    return made


def trained(made: Any) -> Runner:
    runner = Runner.from_cfg(made)
    runner.train()
    return runner


def labels(runner: Runner) -> list[tuple[str, str]]:
    sources = source_datasets(runner.train_dataloader.dataset)
    return [pair for source in sources for pair in names_of_objects(source.dataset)]


def seen(runner: Runner) -> set[tuple[str, str]]:
    """The name in the file and the class of every object that the model saw; ids are the same in every file of a test."""
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, SeenLabels))
    names = source_datasets(runner.train_dataloader.dataset)[-1].dataset.file_categories
    return {(names[category], label) for category, label in hook.seen}


def test_the_hook_refuses_it_and_names_the_data_set_the_file_and_the_classes(tmp_path: Path) -> None:
    data = [part(tmp_path, "good", RIGHT), part(tmp_path, "bad", REVERSED)]
    with pytest.raises(WeightError) as error:
        trained(config(tmp_path, data, dict()))
    said = str(error.value)
    assert said.startswith(f"data set 'bad' ({tmp_path}/bad.json): 'dog' is labelled as 'car', 'car' is labelled as 'dog'.")
    assert "LossWeightHook(..., classes='by name'), or type='CocoDatasetByName'" in said
    assert "good" not in said


def test_without_the_hook_it_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(MMLogger, "warning", lambda logger, message, *args: warnings.append(message))
    trained(config(tmp_path, [part(tmp_path, "bad", ("person",))], **validation(tmp_path, "val", RIGHT)))
    said = [warning for warning in warnings if "labelled as" in warning]
    assert len(said) == 1
    assert "data set 'bad'" in said[0] and "'person' is labelled as 'car'" in said[0]


def wrapped(kind: str, described: dict[str, Any]) -> dict[str, Any]:
    wrappers: dict[str, dict[str, Any]] = {
        "plain": described,
        "repeated": dict(type="RepeatDataset", times=2, dataset=described),
        "balanced": dict(type="ClassBalancedDataset", oversample_thr=0.9, dataset=described),
    }
    return wrappers[kind]


@pytest.mark.parametrize("by", ["hook", "type"])
@pytest.mark.parametrize(
    ("wrapper", "more"),
    [
        ("plain", dict(serialize_data=False)),
        ("plain", dict(lazy_init=True)),
        ("repeated", dict(filter_cfg=dict(filter_empty_gt=True))),
        ("balanced", {}),
    ],
)
def test_by_name_the_model_sees_the_right_labels(tmp_path: Path, by: str, wrapper: str, more: dict[str, Any]) -> None:
    described = part(tmp_path, "bad", REVERSED, **more)
    if by == "type":
        described["type"] = "CocoDatasetByName"
    hook = dict(classes="by name") if by == "hook" else dict()
    runner = trained(config(tmp_path, [wrapped(wrapper, described)], hook))
    assert set(labels(runner)) == seen(runner) == {(name, name) for name in CLASSES}


def test_workers_that_start_with_the_loop_know_it(tmp_path: Path) -> None:
    made = config(tmp_path, [part(tmp_path, "bad", REVERSED)], dict(classes="by name"))
    made.train_cfg = dict(type="IterBasedTrainLoop", max_iters=3)
    made.train_dataloader.update(num_workers=1, sampler=dict(type="InfiniteSampler"))
    assert seen(trained(made)) == {(name, name) for name in CLASSES}


def test_stock_the_model_sees_the_wrong_labels(tmp_path: Path) -> None:
    """What the tests above are about."""
    runner = trained(config(tmp_path, [part(tmp_path, "bad", REVERSED)]))
    assert seen(runner) == {("dog", "car"), ("person", "person"), ("car", "dog")}


def test_repeat_factors_are_those_of_a_data_set_that_goes_by_name(tmp_path: Path) -> None:
    described = part(tmp_path, "bad", REVERSED)
    path = tmp_path / "bad.json"
    file = json.loads(path.read_text())
    rare = file["categories"][0]["id"]
    file["annotations"] = [a for a in file["annotations"] if a["category_id"] != rare or a["image_id"] == 2]
    path.write_text(json.dumps(file))
    drawn = []
    for kind, hook in (("CocoDataset", dict(classes="by name")), ("CocoDatasetByName", dict())):
        runner = trained(config(tmp_path, [wrapped("balanced", dict(described, type=kind))], hook))
        drawn.append(runner.train_dataloader.dataset.datasets[0].repeat_indices)
    assert drawn[0] == drawn[1] == [0, 1, 2, 2, 3]


def test_what_is_right_is_not_loaded_again(tmp_path: Path) -> None:
    data = [part(tmp_path, "good", RIGHT), part(tmp_path, "bad", REVERSED)]
    runner = trained(config(tmp_path, data, dict(classes="by name")))
    good, bad = (source.dataset for source in source_datasets(runner.train_dataloader.dataset))
    assert not isinstance(good.cat2label, LabelsByName)
    assert isinstance(bad.cat2label, LabelsByName)


@pytest.mark.parametrize("given", ["by order", "name", True, ["by name"]])
def test_classes_is_by_name_or_nothing(tmp_path: Path, given: Any) -> None:
    with pytest.raises(WeightError, match=r"classes is .* it must be 'by name'"):
        trained(config(tmp_path, [part(tmp_path, "good", RIGHT)], dict(classes=given)))


def test_validation_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(WeightError) as error:
        trained(config(tmp_path, [part(tmp_path, "good", RIGHT)], dict(), **validation(tmp_path, "val", ("person", "dog"))))
    first, second = str(error.value).split("\n")
    assert first.startswith(f"validation data set 'val' ({tmp_path}/val.json): 'person' is labelled as 'car', 'dog' is")
    assert second.startswith("CocoMetric: 'person' counts as 'car', 'dog' counts as 'person'. ")
    assert "classes='by name'), or type='CocoMetricByName'" in second


@pytest.mark.parametrize("by", ["hook", "type"])
def test_a_perfect_model_scores_1_by_name(tmp_path: Path, by: str) -> None:
    validated = validation(tmp_path, "val", REVERSED, "CocoMetricByName" if by == "type" else "CocoMetric")
    if by == "type":
        validated["val_dataloader"]["dataset"]["type"] = "CocoDatasetByName"
    hook = dict(classes="by name") if by == "hook" else dict()
    tested = {f"test{name[3:]}": value for name, value in validated.items()}
    tested["test_cfg"] = dict(type="TestLoop")
    made = config(tmp_path, [part(tmp_path, "good", RIGHT)], hook, **validated, **tested)
    made.model.type = "Perfect"
    runner = trained(made)
    assert runner.message_hub.get_scalar("val/coco/bbox_mAP").current() == 1
    assert runner.test()["coco/bbox_mAP"] == 1
    made.experiment_name += "-alone"
    assert Runner.from_cfg(made).val()["coco/bbox_mAP"] == 1


def test_a_perfect_model_scores_less_in_stock(tmp_path: Path) -> None:
    made = config(tmp_path, [part(tmp_path, "good", RIGHT)], **validation(tmp_path, "val", REVERSED))
    made.model.type = "Perfect"
    assert Runner.from_cfg(made).val()["coco/bbox_mAP"] < 0.5

"""A training whose data sets label different classes, with the real Runner: what it says first, and what it learns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from mmdet.registry import DATASETS, MODELS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from support.coco import pipeline, runner_config, write_dataset
from torch import nn

from headweights import WeightError
from headweights.check.run import checked
from headweights.mmdet.heads.model_heads import heads_of
from headweights.mmdet.mixture.mix import mix_of, sources_of

pytestmark = pytest.mark.slow

CLASSES = ("car", "person", "dog")
LABELLED = {"cars": ["car"], "people": ["person", "dog"]}


def dataset(folder: Path, name: str, labels: Sequence[str], listed: Sequence[str] = CLASSES) -> dict[str, Any]:
    """A data set whose objects are of some classes; its file lists others too."""
    config = write_dataset(folder, name, classes=CLASSES, seed=len(name))
    path = folder / f"{name}.json"
    described = json.loads(path.read_text())
    for annotation in described["annotations"]:
        annotation["category_id"] = CLASSES.index(labels[annotation["id"] % len(labels)])
    described["categories"] = [category for category in described["categories"] if category["name"] in listed]
    path.write_text(json.dumps(described))
    return dict(config, pipeline=pipeline())


def config_of(folder: Path, datasets: list[dict[str, Any]], **arguments: Any) -> Any:
    config = runner_config(folder / "run", datasets)
    config.log_level = "INFO"
    config.model.roi_head.bbox_head.num_classes = len(CLASSES)
    config.model.backbone.depth = 18
    config.model.neck.in_channels = [8, 16, 32, 64]
    config.custom_hooks = [dict(type="LossWeightHook", interval=2, **arguments)]
    return config


def both(folder: Path) -> list[dict[str, Any]]:
    return [dataset(folder, name, labels) for name, labels in LABELLED.items()]


class Losses(Hook):
    """Writes down the losses of every iteration, to the last bit."""

    def __init__(self) -> None:
        self.found: list[dict[str, float]] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.found.append({name: float(value.detach()) for name, value in outputs.items()})


def trained(config: Any) -> tuple[Runner, list[dict[str, float]]]:
    runner = Runner.from_cfg(config)
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    return runner, losses.found


def logged(runner: Runner) -> str:
    return (Path(runner.log_dir) / f"{runner.timestamp}.log").read_text()


def test_labelled_changes_the_classification_and_says_what_it_leaves(tmp_path: Path) -> None:
    _, stock = trained(config_of(tmp_path, both(tmp_path)))
    _, all_classes = trained(config_of(tmp_path, both(tmp_path), labelled={"cars": list(CLASSES)}))
    assert all_classes == stock, "every class is labelled"
    runner, losses = trained(config_of(tmp_path, both(tmp_path), labelled=LABELLED))
    assert losses[0]["loss_cls"] < stock[0]["loss_cls"], "the background is right about more"
    for name in ("loss_rpn_cls", "loss_rpn_bbox", "loss_bbox", "acc"):
        assert losses[0][name] == stock[0][name], name
    text = logged(runner)
    assert "person, dog" in text
    assert "rpn_head tells objects from background and knows no classes" in text
    record = json.loads((Path(runner.log_dir) / "vis_data" / "headweights.json").read_text())
    assert [each["labelled"] for each in record["datasets"]] == [["car"], ["person", "dog"]]


def test_the_categories_of_the_file(tmp_path: Path) -> None:
    listed = {"cars": ["car"], "people": ["dog", "person"]}
    folders = [tmp_path / "by_list", tmp_path / "by_file"]
    runs = []
    for folder, given in zip(folders, (LABELLED, dict.fromkeys(listed, "categories"))):
        folder.mkdir()
        datasets = [dataset(folder, name, LABELLED[name], listed[name]) for name in listed]
        runs.append(trained(config_of(folder, datasets, labelled=given, classes="by name"))[1])
    assert runs[0] == runs[1]


def test_the_background_of_one_data_set(tmp_path: Path) -> None:
    _, stock = trained(config_of(tmp_path, both(tmp_path)))
    weights = {"cars": {"rpn_head.loss_cls.background": 0.0}, "people": {"rpn_head.background": 0.0, "rpn_head.loss_cls": 1.0}}
    with pytest.raises(WeightError, match=r"the background weighs 0 in rpn_head.loss_cls in every data set"):
        trained(config_of(tmp_path, both(tmp_path), weights=weights))
    fading = dict(schedule="linear", points=[(0, 1.0), (2, 0.0)], by="iter")
    runner, losses = trained(config_of(tmp_path, both(tmp_path), weights={"cars": {"rpn_head.background": fading}}))
    assert losses[0] == stock[0]
    assert losses[1] != stock[1]
    assert "1, background 1 to 0 (linear, iter 0 to 2)" in logged(runner)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(labelled={"cars": ["person"]}), r"data set 'cars' has 12 objects of class 'car', and labelled says"),
        (dict(labelled={"cars": ["car"], "people": ["person"]}), "'people' has 6 objects of class 'dog'"),
        (dict(labelled={"car": ["car"]}), "labelled: 'car' is no data set of this training. Nearest valid: 'cars'"),
        (dict(labelled={"cars": ["cat"]}), "labelled: 'cars': 'cat' is no class of this training. Nearest valid: 'car'"),
        (
            dict(labelled=LABELLED, weights={"people": {"roi_head": 0.0}}),
            "the data sets that label class 'person' weigh 0 in roi_head.bbox_head.loss_cls",
        ),
    ],
)
def test_a_mistake_stops_the_training_before_its_first_iteration(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    runner = Runner.from_cfg(config_of(tmp_path, both(tmp_path), **arguments))
    losses = Losses()
    runner.register_hook(losses)
    with pytest.raises(WeightError, match=message):
        runner.train()
    assert not losses.found


def sampled_by_loss(config: Any) -> None:
    config.model.train_cfg.rcnn.sampler.type = "OHEMSampler"


def with_seesaw(config: Any) -> None:
    config.model.roi_head.bbox_head.loss_cls = dict(type="SeesawLoss", num_classes=len(CLASSES))


@pytest.mark.parametrize(
    ("change", "reason"),
    [(sampled_by_loss, "OHEMSampler trains only the background"), (with_seesaw, "SeesawLoss weighs the push on each class")],
)
def test_a_loss_that_cannot_leave_a_class_out_says_why(tmp_path: Path, change: Callable[[Any], None], reason: str) -> None:
    config = config_of(tmp_path, both(tmp_path), labelled=LABELLED)
    change(config)
    with pytest.raises(WeightError, match=f"labelled: roi_head.bbox_head cannot leave out classes .*: {reason}"):
        Runner.from_cfg(config).train()
    config.custom_hooks = [dict(type="LossWeightHook", labelled={"cars": list(CLASSES)})]
    Runner.from_cfg(config).train()


def test_check_says_what_each_labels_and_what_mixing_and_validation_make_of_it(tmp_path: Path) -> None:
    config = config_of(tmp_path, both(tmp_path), labelled=LABELLED)
    steps = pipeline()
    inner = [dict(part, pipeline=steps[:2]) for part in config.train_dataloader.dataset.to_dict()["datasets"]]
    config.train_dataloader.dataset = dict(
        type="MultiImageMixDataset",
        dataset=dict(type="ConcatDataset", datasets=inner),
        pipeline=[dict(type="Mosaic", img_scale=(96, 96)), *steps[2:]],
    )
    config.val_dataloader = dict(
        batch_size=1,
        num_workers=0,
        dataset=dataset(tmp_path, "cars", ["car"]),
        sampler=dict(type="DefaultSampler", shuffle=False),
    )
    config.val_evaluator = dict(type="CocoMetric", ann_file=str(tmp_path / "cars.json"))
    config.val_cfg = dict(type="ValLoop")
    config.custom_imports = dict(imports=["headweights.mmdet"], allow_failed_imports=False)
    path = tmp_path / "config.py"
    config.dump(path)
    result = checked(path)
    messages = {problem.message for problem in result.problems}
    assert not any(problem.stops for problem in result.problems), messages
    assert any("(mosaic, MixUp) counts as labelled for the classes that all of them label: 0 of 3." in text for text in messages)
    assert any("validation data set 'cars' does not label 'person', 'dog'" in text for text in messages)
    assert any("weights={'cars': {'rpn_head.loss_cls.background': 0.3}}" in text for text in messages)
    assert result.mix is not None
    assert [known.labelled for known in result.mix.datasets.values()] == [("car",), ("person", "dog")]


def test_a_detector_without_classes_says_what_to_do_instead(tmp_path: Path) -> None:
    config = config_of(tmp_path, both(tmp_path), labelled=LABELLED)
    rpn = dict(config.model.rpn_head.to_dict(), num_classes=1)
    config.model = dict(
        type="RPN",
        data_preprocessor=config.model.data_preprocessor,
        backbone=config.model.backbone,
        neck=config.model.neck,
        rpn_head=rpn,
        train_cfg=dict(rpn=config.model.train_cfg.rpn),
        test_cfg=dict(rpn=config.model.test_cfg.rpn),
    )
    runner = Runner.from_cfg(config)
    with pytest.raises(WeightError, match=r"Weigh 'bbox_head.loss_cls.background' of that data set lower instead"):
        runner.train()
    assert heads_of(runner.model).book.weighted


class OddHead(nn.Module):
    """A head that computes its loss where nobody knows."""

    def loss(self, x: Any, batch_data_samples: Any) -> dict[str, Any]:
        return {}


def test_a_head_that_stays_stock_is_an_error_and_not_left_as_it_is(tmp_path: Path) -> None:
    config = config_of(tmp_path, both(tmp_path))
    model = MODELS.build(config.model)
    model.odd_head = OddHead()
    sources, _ = sources_of(DATASETS.build(config.train_dataloader.dataset), None)
    _, problems = mix_of(model, sources, {}, labelled=LABELLED)
    (message,) = [problem.message for problem in problems if problem.stops]
    assert message.startswith("labelled: odd_head cannot leave out classes that a data set does not label: OddHead cannot be")
    _, problems = mix_of(model, sources, {})
    assert not any(problem.stops for problem in problems)

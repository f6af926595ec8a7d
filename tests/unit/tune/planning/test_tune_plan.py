"""What can be tuned in a config, and what has to be mended first: every message before any training."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from support.coco import add_fields
from support.detectors import RETINANET
from support.tuning import tuned_config

from headweights.errors import WeightError
from headweights.tune.planning.plan import GREATER, LESS, _validations, make_plan


@pytest.fixture(scope="module")
def two_stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tuned_config(tmp_path_factory.mktemp("plan"))


def changed(path: Path, **entries: Any) -> Path:
    """A copy of a config with entries of another value, or none."""
    config = Config.fromfile(path)
    for name, value in entries.items():
        config[name] = value
    copy = path.with_name(f"changed_{len(list(path.parent.iterdir()))}.py")
    config.dump(copy)
    return copy


def hooked(**arguments: Any) -> list[dict[str, Any]]:
    return [dict(type="LossWeightHook", **arguments)]


def test_without_a_hook_shares_are_searched_in_all_outermost_heads(two_stage: Path) -> None:
    plan = make_plan(two_stage, target="real")
    assert plan.space.datasets == ("rendered",) and plan.space.addresses == ("rpn_head", "roi_head")
    assert plan.hook == dict(normalize=True, weights={}, target="real")
    assert (plan.metric, plan.rule, plan.validations, plan.own) == (None, GREATER, 1, None)
    assert any("bad trials cannot be stopped early" in note for note in plan.notes)


def test_the_hook_gives_the_target_its_arguments_and_its_own_weights(two_stage: Path) -> None:
    hook = hooked(weights=dict(rendered=0.5), target="real", normalize=False, objects=False, interval=7)
    plan = make_plan(changed(two_stage, custom_hooks=hook), heads=["roi_head.bbox_head.loss_cls"])
    assert plan.space.addresses == ("roi_head.bbox_head.loss_cls",)
    assert plan.hook == {name: value for name, value in hook[0].items() if name != "type"}
    assert plan.own == {"rendered: roi_head.bbox_head.loss_cls": 0.5}
    assert any("learning rates too" in note for note in plan.notes)


def test_the_data_sets_are_called_what_the_hook_calls_them(two_stage: Path) -> None:
    config = Config.fromfile(two_stage)
    for dataset in config.train_dataloader.dataset.datasets:
        dataset.metainfo.pop("dataset_name")
    path = changed(two_stage, train_dataloader=config.train_dataloader, custom_hooks=hooked(datasets=["mine", "theirs"]))
    assert make_plan(path, target="theirs").space.datasets == ("mine",)


def test_the_metric_and_its_direction_are_mmengines(two_stage: Path) -> None:
    saving = changed(two_stage, default_hooks=dict(checkpoint=dict(type="CheckpointHook", save_best="loss_x")))
    assert (make_plan(saving, target="real").metric, make_plan(saving, target="real").rule) == ("loss_x", LESS)
    said = dict(checkpoint=dict(type="CheckpointHook", save_best=["strangeness", "x"], rule=["less", "greater"]))
    assert make_plan(changed(two_stage, default_hooks=said), target="real").rule == LESS
    assert make_plan(two_stage, target="real", metric="coco/bbox_mAP_50").rule == GREATER


def errors(two_stage: Path) -> list[tuple[Path, dict[str, Any], list[str]]]:
    config = Config.fromfile(two_stage)
    one = dict(config.train_dataloader, dataset=config.train_dataloader.dataset.datasets[0])
    stepped = config.copy().train_dataloader
    stepped.dataset.datasets[1].pipeline.append(add_fields(roi_head=0.5))
    shifted = copy.deepcopy(config.train_dataloader)
    shifted.dataset.datasets[1].metainfo.classes = ("other", "thing")
    broken = two_stage.with_name("broken.py")
    broken.write_text("model = dict(")
    real = dict(target="real")
    return [
        (changed(two_stage, val_evaluator=None, val_cfg=None), real, ["validates nothing", "val_evaluator=", "ValLoop"]),
        (changed(two_stage, train_dataloader=one), real, ["one data set, 'real'"]),
        (two_stage, {}, ["--target", "'real', 'rendered'"]),
        (two_stage, dict(target="reel"), ["--target 'reel'", "Nearest valid: 'real'"]),
        (two_stage, dict(real, heads=["roi_haed", "rpn_head.loss_clss"]), ["'roi_head'", "Nearest valid: 'rpn_head.loss_cls'"]),
        (two_stage, dict(real, heads=["loss_weight"]), ["names no head"]),
        (two_stage, dict(real, metric="strangeness"), ["does not know whether more or less", "save_best='strangeness'"]),
        (two_stage, dict(real, options=["model"]), ["--cfg-options 'model'"]),
        (two_stage, dict(real, options=["model.backbone.depth.x=3"]), ["--cfg-options model.backbone.depth.x=3"]),
        (two_stage, dict(real, options=["model.rpn_head.type=RPNHaed"]), ["Nearest valid: 'RPNHead'"]),
        (two_stage, dict(real, high=0.5), ["range"]),
        (changed(two_stage, train_dataloader=stepped), real, ["'rendered'", "roi_head.loss_weight", "wins over"]),
        (changed(two_stage, train_dataloader=shifted), real, ["'rendered'", "'thing' is labelled as 'other'"]),
        (changed(two_stage, custom_hooks=hooked(weights=dict(reel=1))), real, ["'reel' is no data set", "Nearest valid: 'real'"]),
        (changed(two_stage, custom_hooks=hooked(weights=[1])), real, ["weights is [1]"]),
        (changed(two_stage, custom_hooks=hooked(weights=dict(real=-1))), real, ["not negative"]),
        (changed(two_stage, custom_hooks=hooked(normalise=1)), real, ["Nearest valid: 'normalize'"]),
        (changed(two_stage, custom_hooks=hooked(images=dict(reel={}))), real, ["Nearest valid: 'real'"]),
        (changed(two_stage, custom_hooks=hooked() + hooked()), real, ["configured twice"]),
        (broken, real, ["cannot be read"]),
        (two_stage.with_name("none.py"), real, ["no such file"]),
    ]


def test_every_error_comes_before_any_training(two_stage: Path) -> None:
    for path, arguments, said in errors(two_stage):
        with pytest.raises(WeightError) as error:
            make_plan(path, **arguments)
        assert all(words in str(error.value) for words in said), str(error.value)
        assert "Traceback" not in str(error.value)


def test_a_test_that_is_the_validation_is_said(two_stage: Path) -> None:
    config = Config.fromfile(two_stage)
    path = changed(two_stage, test_dataloader=config.val_dataloader)
    assert any("sees the test data" in note for note in make_plan(path, target="real").notes)
    assert not any("sees the test data" in note for note in make_plan(two_stage, target="real").notes)


def test_a_one_stage_detector_and_what_makes_another_search(tmp_path: Path) -> None:
    path = tuned_config(tmp_path, model=RETINANET)
    plan = make_plan(path, target="real", low=0.1)
    assert plan.space.addresses == ("bbox_head",)
    longer = make_plan(path, target="real", low=0.1, options=["train_cfg.max_epochs=4", "work_dir=elsewhere"])
    assert [name for name in plan.described if plan.described[name] != longer.described[name]] == ["config: train_cfg"]
    assert longer.validations == 4


@pytest.mark.parametrize(
    ("loop", "count"),
    [
        (dict(type="EpochBasedTrainLoop", max_epochs=12), 12),
        (dict(by_epoch=True, max_epochs=12, val_interval=5), 3),
        (dict(type="EpochBasedTrainLoop", max_epochs=12, val_begin=4), 9),
        (dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=4, dynamic_intervals=[(9, 1)]), 6),
        (dict(type="IterBasedTrainLoop", max_iters=100, val_interval=30), 4),
        (dict(type="IterBasedTrainLoop", max_iters=100), 1),
        (dict(type="MyLoop", by_epoch=False, max_iters=100), None),
    ],
)
def test_validations_are_counted_as_mmengine_has_them(loop: dict[str, Any], count: int | None) -> None:
    assert _validations(loop) == count

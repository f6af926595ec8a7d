"""``headweights check`` on files that list the classes in another order than the config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from support.class_order import CLASSES, in_file_order
from support.coco import pipeline, runner_config
from support.detectors import RETINANET
from typer.testing import CliRunner

from headweights.check.run import checked, fixed
from headweights.cli import app

GOOD, BAD = ("car", "person", "dog"), ("person",)


def written(folder: Path, train: tuple[str, ...], val: tuple[str, ...], hook: dict[str, Any] | None, **more: Any) -> Path:
    """A config that trains and validates on files that list these classes."""
    data = dict(in_file_order(folder, "train", train), pipeline=pipeline())
    hooks = [] if hook is None else [dict(type="LossWeightHook", **hook)]
    held_out = dict(in_file_order(folder, "val", val), pipeline=pipeline(), test_mode=True)
    config = runner_config(
        folder / "run",
        [data],
        model=RETINANET,
        custom_hooks=hooks,
        val_dataloader=dict(dataset=held_out, sampler=dict(type="DefaultSampler", shuffle=False)),
        val_evaluator=dict(type="CocoMetric", ann_file=str(folder / "val.json")),
        val_cfg=dict(type="ValLoop"),
    )
    config.merge_from_dict({"model.bbox_head.num_classes": len(CLASSES), **more})
    config.dump(folder / "config.py")
    return folder / "config.py"


def said(path: Path) -> list[tuple[str, bool]]:
    return [(problem.message, problem.stops) for problem in checked(path).problems if problem.kind == "class order"]


@pytest.mark.parametrize("hook", [dict(), None])
def test_training_and_validation_are_checked(tmp_path: Path, hook: dict[str, Any] | None) -> None:
    path = written(tmp_path, BAD, ("dog", "car", "person"), hook)
    messages = {message.split(". ")[0]: stops for message, stops in said(path)}
    assert messages == dict.fromkeys(
        (
            f"data set 'train' ({tmp_path}/train.json): 'person' is labelled as 'car'",
            f"validation data set 'val' ({tmp_path}/val.json): 'dog' is labelled as 'car', 'car' is labelled as 'person', "
            "'person' is labelled as 'dog'",
            "CocoMetric: 'dog' counts as 'car', 'car' counts as 'person', 'person' counts as 'dog'",
        ),
        hook is not None,
    )
    shown = CliRunner().invoke(app, ["check", str(path)])
    assert "'person' is labelled as 'car'" in shown.stdout
    assert shown.exit_code == (0 if hook is None else 2)


def test_the_fix_is_what_it_prints(tmp_path: Path) -> None:
    path = written(tmp_path, BAD, BAD, dict(weights=dict(train=1.0)))
    lines = fixed(checked(path))
    assert "        classes='by name',\n" in lines
    config = Config.fromfile(path)
    config.custom_hooks = Config.fromstring(lines, ".py").custom_hooks
    config.dump(path)
    assert checked(path).problems == []


def test_the_types_are_another(tmp_path: Path) -> None:
    path = written(tmp_path, BAD, BAD, dict(weights=dict(train=1.0)))
    config = Config.fromfile(path)
    config.train_dataloader.dataset.datasets[0].type = config.val_dataloader.dataset.type = "CocoDatasetByName"
    config.val_evaluator.type = "CocoMetricByName"
    config.dump(path)
    assert checked(path).problems == []


def test_the_types_need_the_import(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, GOOD, None)
    config = Config.fromfile(path)
    config.val_evaluator.type = "CocoMetricByName"
    config.pop("custom_imports")
    config.dump(path)
    assert [problem.kind for problem in checked(path).problems] == ["import"]


def test_what_is_right_is_no_problem(tmp_path: Path) -> None:
    assert checked(written(tmp_path, GOOD, GOOD[:2], dict())).problems == []


@pytest.mark.parametrize("where", ["train", "val"])
def test_two_categories_of_one_name_cannot_go_by_name(tmp_path: Path, where: str) -> None:
    path = written(tmp_path, BAD, BAD, dict(classes="by name"))
    file = json.loads((tmp_path / f"{where}.json").read_text())
    file["categories"].append(dict(id=5, name="person"))
    (tmp_path / f"{where}.json").write_text(json.dumps(file))
    assert any("lists 2 categories called 'person'" in message and stops for message, stops in said(path))


def test_a_validation_that_cannot_be_built_is_a_note(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, GOOD, dict())
    (tmp_path / "val.json").unlink()
    result = checked(path)
    assert result.problems == []
    assert any("classes of the validation are not checked: it cannot be built" in note for note in result.notes)

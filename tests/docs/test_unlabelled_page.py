"""docs/unlabelled.md and its examples: the blocks run and do what the text around them says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import HOOKS
from support.coco import write_dataset
from support.transformers_zoo import ZOO, build
from transformers import Trainer, TrainingArguments
from typer.testing import CliRunner

from headweights.check.run import Checked, checked
from headweights.cli import app
from headweights.mixture.table import plain, table_of
from headweights.transformers import LossWeights
from headweights.weights.addresses import AddressBook, most_specific

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "unlabelled.md").read_text().partition("## How to use it")[2]
EXAMPLE = ROOT / "examples" / "unlabelled" / "faster-rcnn_r50_fpn_cars_people.py"
RT_DETR = next(arch for arch in ZOO if arch.name == "rt-detr")
BACKGROUND = "rpn_head.loss_cls.background"

Item = dict[str, Any]


def block(containing: str) -> str:
    (found,) = (code for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if containing in code)
    return str(found)


def run(code: str, **names: Any) -> dict[str, Any]:
    exec(compile(code, "docs/unlabelled.md", "exec"), names)
    return names


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example config, and data where it says that there is some."""
    folder = tmp_path / "data"
    for name, classes, images in (("cars", ["car"], 4), ("people", ["person"], 12), ("held_out", ["person", "car"], 2)):
        write_dataset(folder, name, images=images, classes=classes)
    monkeypatch.setenv("CARS_PEOPLE", str(folder))
    config = tmp_path / "config.py"
    config.write_text(EXAMPLE.read_text())
    return config


def added(example: Path, code: str) -> Checked:
    """What the check finds if some lines are added to the example."""
    example.write_text(f"{EXAMPLE.read_text()}\n{code}")
    return checked(example)


def test_the_example_prints_the_table_of_the_page_and_has_no_problem(example: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(example), "--strict"])
    assert result.exit_code == 0, result.stdout
    mix = checked(example).mix
    assert mix is not None
    (printed,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    assert printed.splitlines() == plain(table_of(mix)).splitlines()[2:-2]


def test_the_block_is_that_of_the_example() -> None:
    code = block("custom_hooks")
    (hook,) = run(code)["custom_hooks"]
    assert code in EXAMPLE.read_text()
    assert HOOKS.build(hook).labelled == {"cars": "categories", "people": "categories"}


def test_people_would_be_cars_without_the_last_line_of_the_block(example: Path) -> None:
    result = added(example, "custom_hooks[0].pop('classes')")
    assert "'person' is labelled as 'car'" in "\n".join(problem.message for problem in result.problems if problem.stops)


def test_without_a_weight_for_the_rpns_background_the_advice_is_the_block(example: Path) -> None:
    (problem,) = added(example, "custom_hooks[0].pop('weights')").problems
    assert not problem.stops and f"weights={{'cars': {{'{BACKGROUND}': 0.3}}}}" in problem.message


def test_a_mosaic_of_each_data_set_keeps_what_it_labels_and_one_of_both_nothing(example: Path) -> None:
    assert not added(example, block("Mosaic")).problems
    both = """
both = dict(type="ConcatDataset", datasets=[dict(cars, pipeline=load), dict(people, pipeline=load)])
train_dataloader = dict(dataset=dict(_delete_=True, type="MultiImageMixDataset", dataset=both, pipeline=mix))
"""
    (problem,) = added(example, block("Mosaic") + both).problems
    assert not problem.stops and "0 of 2" in problem.message and "MultiImageMixDataset" in problem.message


def test_objects_that_contradict_the_block_stop_the_training(example: Path) -> None:
    result = added(example, "custom_hooks[0]['labelled'] = dict(cars=['person'], people='categories')")
    said = "\n".join(problem.message for problem in result.problems if problem.stops)
    assert "data set 'cars' has 12 objects of class 'car'" in said
    assert "no data set labels class 'car'" in said


def test_a_background_of_0_everywhere_stops_the_training(example: Path) -> None:
    weights = {name: {BACKGROUND: 0} for name in ("cars", "people")}
    result = added(example, f"custom_hooks[0]['weights'] = {weights}")
    (said,) = (problem.message for problem in result.problems if problem.stops)
    assert "the background weighs 0 in rpn_head.loss_cls in every data set" in said


def test_a_background_can_have_a_schedule(example: Path) -> None:
    schedule = dict(schedule="linear", points=[(0, 0.1), (6, 1.0)], by="epoch")
    result = added(example, f"custom_hooks[0]['weights']['cars']['{BACKGROUND}'] = {schedule}")
    assert not result.problems
    assert result.mix is not None and "background 0.1 to 1" in plain(table_of(result.mix))


def test_single_images_can_weigh_their_background(example: Path) -> None:
    target = "rpn_head.background"
    assert f'"loss_weight": {{"{target}": 0.2}}' in PAGE
    assert not added(example, f"custom_hooks[0]['images'] = dict(cars={{'0.png': {{'{target}': 0.2}}}})").problems


def test_boxes_have_no_background(example: Path) -> None:
    result = added(example, "custom_hooks[0]['weights'] = dict(cars={'rpn_head.loss_bbox.background': 0.2})")
    (said,) = (problem.message for problem in result.problems if problem.stops)
    assert "rpn_head.loss_bbox learns from predictions that are matched to objects only" in said


def test_a_step_of_the_pipeline_can_weigh_the_background(example: Path) -> None:
    field = "rpn_head.background.loss_weight"
    assert f"`{field}`" in PAGE
    step = dict(type="AddFieldToImgMetas", fields=[field], values=[0.5])
    data_sets = "train_dataloader['dataset']['datasets']"
    code = f"custom_hooks[0].pop('weights')\n{data_sets}[0] = dict(cars, pipeline=[*cars['pipeline'], {step}])"
    result = added(example, code)
    assert not any(problem.stops for problem in result.problems)
    assert result.mix is not None
    assert result.mix.weight("cars", "rpn_head", "loss_cls", background=True) == 0.5
    assert result.mix.weight("cars", "rpn_head", "loss_cls") == 1


def test_the_most_specific_background_is_the_one_that_the_page_says() -> None:
    (given,) = re.findall(r"With `(\{.*?\})`", PAGE)
    book = AddressBook({"rpn_head": ("loss_cls", "loss_bbox")}, backgrounds={"rpn_head": ("loss_cls",)})
    weights = {book.at(target): weight for target, weight in eval(given).items()}
    assert most_specific(weights, "rpn_head", "loss_cls", 1.0) == 0.8
    assert most_specific(weights, "rpn_head", "loss_cls", 1.0, background=True) == 0.1


def test_the_blocks_of_backgrounds() -> None:
    hook = HOOKS.build(run(block("hook = "))["hook"])
    assert hook.block["sparse"]["bbox_head.loss_cls.background"].at(0, 0) == 0.3
    weights = run(block("LossWeights({"), LossWeights=LossWeights)["weights"]
    result = weights.check(build(RT_DETR))
    assert not result.stops
    assert result.mix.weight("sparse", "loss_vfl", "", background=True) == 0.3
    assert result.mix.weight("sparse", "loss_vfl", "") == 1


def images_with(label: int, count: int) -> list[Item]:
    batch = RT_DETR.batch([2] * count)
    labels = [{**given, "class_labels": torch.full_like(given["class_labels"], label)} for given in batch["labels"]]
    return [{"pixel_values": image, "labels": given} for image, given in zip(batch["pixel_values"], labels)]


def collate(items: list[Item]) -> Item:
    return {"pixel_values": torch.stack([item["pixel_values"] for item in items]), "labels": [item["labels"] for item in items]}


@pytest.mark.slow
def test_a_trainer_trains_on_what_is_labelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build(RT_DETR)
    names = ["car", "person", *map(str, range(2, len(model.config.id2label)))]
    model.config.id2label = dict(enumerate(names))
    arguments = dict(max_steps=1, per_device_train_batch_size=4, remove_unused_columns=False, save_strategy="no", report_to=[])
    given = dict(
        args=TrainingArguments(str(tmp_path), disable_tqdm=True, **arguments), model=model, collate=collate, Trainer=Trainer
    )
    code = block("weights.mix(cars=cars")
    if len(names) > 2:  # nobody labels what the small model has beyond the classes of the page
        code = code.replace('["person"]', repr(names[1:]))
    run(code, cars=images_with(0, 2), people=images_with(1, 2), LossWeights=LossWeights, **given)
    assert re.search(r"\| cars +\| +2 \| car +\|", capsys.readouterr().out)
    (head, *_) = json.loads((tmp_path / "headweights.json").read_text())["datasets"]
    assert head["labelled"] == ["car"]


@pytest.mark.slow
def test_the_example_for_transformers_trains(tmp_path: Path) -> None:
    script = ROOT / "examples" / "transformers" / "unlabelled.py"
    command = [sys.executable, str(script), "--steps", "2", "--output", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"\| high +\| +600 \| seven, eight, nine +\|", finished.stdout)
    assert re.search(r"^mAP on held-out scenes \S+$", finished.stdout, flags=re.MULTILINE)

"""The recipes: their blocks weigh what the text says, and their numbers are those of the studies."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from support.coco import write_dataset
from support.transformers_zoo import ZOO, build
from transformers import Trainer, TrainingArguments

from headweights.check.run import checked
from headweights.transformers import LossWeights

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {page.stem: page.read_text() for page in sorted((ROOT / "docs" / "recipes").glob("*.md")) if page.stem != "index"}
RT_DETR = next(arch for arch in ZOO if arch.name == "rt-detr")
IMAGES = 4
BASE = """
_base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]
custom_imports = dict(imports=["headweights.mmdet"], allow_failed_imports=False)
model = dict(roi_head=dict(bbox_head=dict(num_classes={classes})))
train_dataloader = dict(dataset=dict(_delete_=True, type="ConcatDataset", datasets=[
    dict(described, pipeline=_base_.train_pipeline) for described in {described}]))
"""

# By recipe: what its blocks set, as (data set, head, loss, weight), in mmdetection and in transformers.
SET = {
    "real_and_synthetic": (
        [("synthetic", "rpn_head", "loss_cls", 0.5), ("synthetic", "roi_head.bbox_head", "loss_cls", 0.1)],
        [("synthetic", "loss_vfl", "", 0.1), ("synthetic", "loss_bbox", "", 0.5)],
    ),
    "noisy_labels": (
        [("noisy", "roi_head.bbox_head", "loss_cls", 0.1), ("noisy", "roi_head.bbox_head", "loss_bbox", 1.0)],
        [("noisy", "loss_vfl", "", 0.1), ("noisy", "loss_bbox", "", 1.0)],
    ),
    "loose_boxes": (
        [("loose", "rpn_head", "loss_bbox", 0.3), ("loose", "roi_head.bbox_head", "loss_bbox", 0.1)],
        [("loose", "loss_bbox", "", 0.1), ("loose", "loss_vfl", "", 1.0)],
    ),
    "some_classes": ([("cars", "rpn_head", "loss_cls", 1.0)], [("cars", "loss_vfl", "", 1.0)]),
    "missing_boxes": ([("sparse", "rpn_head", "loss_cls", 1.0)], [("sparse", "loss_vfl", "", 1.0)]),
    "pseudo_labels": ([("pseudo", "rpn_head", "loss_cls", 0.0)], [("pseudo", "loss_vfl", "", 0.0)]),
    "vendors": ([("city", "rpn_head", "loss_cls", 1.0)], [("city", "loss_vfl", "", 1.0)]),
}
BACKGROUND = {
    "some_classes": ([("cars", "rpn_head", "loss_cls", 0.3), ("people", "rpn_head", "loss_cls", 0.3)], []),
    "missing_boxes": (
        [("sparse", "rpn_head", "loss_cls", 0.3), ("sparse", "roi_head.bbox_head", "loss_cls", 0.3)],
        [("sparse", "loss_vfl", "", 0.3)],
    ),
}
every_recipe = pytest.mark.parametrize("recipe", RECIPES)


def tab(recipe: str, name: str) -> str:
    """The block of a tab."""
    (content,) = re.findall(rf'^=== "{name}"\n(.*?)(?=^\S)', RECIPES[recipe], flags=re.DOTALL | re.MULTILINE)
    (code,) = re.findall(r"```python\n(.*?)```", textwrap.dedent(content), flags=re.DOTALL)
    return str(code)


def data_sets(recipe: str) -> list[str]:
    """The names of the data sets that a recipe mixes."""
    (mixed,) = re.findall(r"weights\.mix\((.*)\)", tab(recipe, "transformers"))
    return [name for name, same in re.findall(r"(\w+)=(\w+)", mixed) if name == same]


def test_every_recipe_is_in_the_table_and_tested() -> None:
    index = (ROOT / "docs" / "recipes" / "index.md").read_text()
    assert set(re.findall(r"\]\((\w+)\.md\)", index)) == set(RECIPES) == set(SET)


def annotated(folder: Path, recipe: str) -> list[dict[str, Any]]:
    """Data sets for mmdetection: of one class each for the recipe about classes; the others have both."""
    classes = ("car", "person")
    described = []
    for name in data_sets(recipe):
        labelled = {"cars": ["car"], "people": ["person"]}.get(name, classes)
        one = write_dataset(folder, name, images=IMAGES, classes=labelled)
        described.append({**one, "metainfo": dict(classes=classes, dataset_name=name)})
    if recipe == "vendors":
        file = folder / "city.json"
        content = json.loads(file.read_text())
        for image, vendor in zip(content["images"], "abcb"):
            image["file_name"] = f"vendor_{vendor}/{image['file_name']}"
        file.write_text(json.dumps(content))
    return described


@every_recipe
def test_the_block_for_mmdetection(recipe: str, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(BASE.format(classes=2, described=annotated(tmp_path, recipe)) + tab(recipe, "mmdetection"))
    result = checked(config)
    assert not [problem.message for problem in result.problems if problem.kind != "learning rate"]
    mix = result.mix
    assert mix is not None
    for dataset, head, loss, weight in SET[recipe][0]:
        assert mix.weight(dataset, head, loss) == weight
    for dataset, head, loss, weight in BACKGROUND.get(recipe, ([], []))[0]:
        assert mix.weight(dataset, head, loss, background=True) == weight


def test_the_images_of_each_vendor_weigh_what_the_recipe_says(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(BASE.format(classes=2, described=annotated(tmp_path, "vendors")) + tab("vendors", "mmdetection"))
    mix = checked(config).mix
    assert mix is not None
    city = mix.datasets["city"]  # of one image by vendor a, two by b and one by c
    assert city.own("rpn_head", "loss_cls") == pytest.approx((1 + 2 * 0.3 + 1) / IMAGES)
    assert city.own("roi_head.bbox_head", "loss_bbox") == pytest.approx((1 + 2 * 0.1 + 1) / IMAGES)
    assert city.own("roi_head.bbox_head", "loss_cls") == pytest.approx((1 + 2 * 1 + 0.1) / IMAGES)


def images(name: str) -> Any:
    """A data set for transformers. Those of the recipe about classes have objects of one class each."""
    batch = RT_DETR.batch([2] * IMAGES)
    items = [{"pixel_values": image, "labels": label} for image, label in zip(batch["pixel_values"], batch["labels"])]
    for item in items:
        if name in ("cars", "people"):
            item["labels"]["class_labels"].fill_(["cars", "people"].index(name))
    if name != "city":
        return items
    rows = Dataset.from_dict({"number": list(range(IMAGES)), "file_name": [f"vendor_{vendor}/1.jpg" for vendor in "abcb"]})
    rows = rows.map(lambda row: {"file_name": row["file_name"].replace("1.", f"{row['number']}.")})
    return rows.with_transform(
        lambda rows: {key: [items[number][key] for number in rows["number"]] for key in ("pixel_values", "labels")}
    )


def collate(items: list[Any]) -> dict[str, Any]:
    return {"pixel_values": torch.stack([item["pixel_values"] for item in items]), "labels": [item["labels"] for item in items]}


@pytest.mark.slow
@every_recipe
def test_the_lines_for_transformers_train(recipe: str, tmp_path: Path) -> None:
    model = build(RT_DETR)
    classes = ["car", "person", *map(str, range(2, len(model.config.id2label)))]
    model.config.id2label = dict(enumerate(classes))
    arguments = dict(max_steps=1, per_device_train_batch_size=8, remove_unused_columns=False, save_strategy="no", report_to=[])
    names: dict[str, Any] = {name: images(name) for name in data_sets(recipe)}
    names |= dict(
        args=TrainingArguments(str(tmp_path), disable_tqdm=True, **arguments),
        model=model,
        collate=collate,
        Trainer=Trainer,
        LossWeights=LossWeights,
    )
    code = tab(recipe, "transformers")
    if recipe == "some_classes":  # nobody labels what the small model has beyond the classes of the page
        code = code.replace('["person"]', repr(classes[1:]))
    exec(compile(code, recipe, "exec"), names)
    result = names["weights"].check(model, names["trainer"].train_dataset)
    assert not result.stops, result
    for dataset, loss, _, weight in SET[recipe][1]:
        assert result.mix.weight(dataset, loss, "") == weight
    for dataset, loss, _, weight in BACKGROUND.get(recipe, ([], []))[1]:
        assert result.mix.weight(dataset, loss, "", background=True) == weight
    if recipe == "vendors":
        assert result.mix.datasets["city"].own("loss_bbox", "") == pytest.approx((1 + 2 * 0.1 + 1) / IMAGES)
    names["trainer"].train()
    assert (tmp_path / "headweights.json").exists()


@pytest.mark.parametrize("page", ["README", *RECIPES])
def test_a_number_with_its_interval_is_one_of_a_study(page: str) -> None:
    studies = (ROOT / "docs" / "study.md").read_text() + (ROOT / "docs" / "unlabelled.md").read_text()
    text = " ".join({**RECIPES, "README": (ROOT / "README.md").read_text()}[page].split())
    quoted = re.findall(r"[+-]\d\.\d+ \([^)]* to [^)]*\)", text)
    assert all(number in studies for number in quoted), [number for number in quoted if number not in studies]
    assert quoted or "there is no number" in text

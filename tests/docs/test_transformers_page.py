"""The code for transformers, in the README and on docs/transformers.md, runs, and does what the text around it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from support.transformers_zoo import SIZE, ZOO, build
from torch.utils.data import DataLoader
from transformers import RTDetrImageProcessorPil, Trainer, TrainingArguments

from headweights import WeightError
from headweights.mixture.table import plain, table_of
from headweights.transformers import LossWeights, weigh
from headweights.transformers.weighting.weigh import weighed_forward

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "transformers.md").read_text()
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
DIFFS = re.findall(r"```diff\n(.*?)```", PAGE, flags=re.DOTALL)
ARCHITECTURES = {arch.name: arch for arch in ZOO}

Item = dict[str, Any]


def block(containing: str) -> str:
    (found,) = (code for code in PYTHON if containing in code)
    return found


def run(code: str, **names: Any) -> dict[str, Any]:
    exec(compile(code, "docs/transformers.md", "exec"), names)
    return names


def images(count: int) -> list[Item]:
    batch = ARCHITECTURES["rt-detr"].batch([2] * count)
    return [{"pixel_values": image, "labels": label} for image, label in zip(batch["pixel_values"], batch["labels"])]


def collate(items: Sequence[Item]) -> Item:
    return {"pixel_values": torch.stack([item["pixel_values"] for item in items]), "labels": [item["labels"] for item in items]}


@pytest.fixture
def args(tmp_path: Path) -> TrainingArguments:
    return TrainingArguments(
        str(tmp_path),
        max_steps=2,
        logging_steps=1,
        per_device_train_batch_size=4,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
    )


@pytest.fixture
def names(args: TrainingArguments) -> Item:
    """What the page takes as given."""
    model = build(ARCHITECTURES["rt-detr"])
    return {
        "args": args,
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=1e-4),
        "real": images(4),
        "synthetic": images(12),
        "collate": collate,
        "Trainer": Trainer,
        "DataLoader": DataLoader,
        "torch": torch,
    }


@pytest.fixture
def weights() -> LossWeights:
    return LossWeights(
        {"real": 1.0, "synthetic": {"loss_vfl": 0.05, "loss_bbox": 1.0}}, normalize=True, target="real", interval=1
    )


def test_a_trainer_trains_weighted_and_logs_what_it_measured(names: Item, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = run(block("\ntrainer.train()"), **names)["trainer"]
    printed = capsys.readouterr().out
    (table,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    assert all(line in printed.splitlines() for line in table.splitlines())
    trainer.save_state()
    folder = Path(trainer.args.output_dir)
    (one, *_) = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    assert {"raw_loss/loss_vfl/synthetic", "weighted_loss/loss_bbox/synthetic"} <= one.keys()
    assert (folder / "headweights.json").exists()


def test_the_readmes_first_block_trains(args: TrainingArguments) -> None:
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "LossWeights" in code)
    model = build(ARCHITECTURES["yolos"])
    trainer = run(code, Trainer=Trainer, model=model, args=args, collate=collate, real=images(4), synthetic=images(4))["trainer"]
    trainer.train()
    logged = {name: value for entry in trainer.state.log_history for name, value in entry.items()}
    assert logged["weight/loss_ce/synthetic"] == 0.2


def test_loops(names: Item, weights: LossWeights) -> None:
    loop = run(block("for epoch in range(2)"), weights=weights, **names)
    assert any(name.startswith("raw_loss/loss_vfl/") for name in loop["measured"])
    accelerator = Accelerator(gradient_accumulation_steps=2)
    logged: list[Item] = []
    accelerator.log = logged.append  # there is no tracker
    run(block("accelerator.prepare"), **{**names, **loop, "accelerator": accelerator})
    assert len(logged) == 2  # four batches of which each two make a step


def test_the_transform_names_the_data_set_of_each_image() -> None:
    batch = run(block('label["dataset"]'), processor=processor())["transform"](rows(source=["real", "synthetic"]))
    assert [label["dataset"] for label in batch["labels"]] == ["real", "synthetic"]


def test_the_transform_weighs_images_and_objects(names: Item) -> None:
    more = dict(sharpness=[0.5, 1.0], confidence=[[0.1], [0.9]])
    batch = run(block("sharpness"), processor=processor(), torch=torch)["transform"](rows(**more))
    loss = weigh(names["model"])(pixel_values=batch["pixel_values"], labels=list(batch["labels"])).loss
    assert loss.requires_grad
    assert [label["loss_weight"] for label in batch["labels"]] == [{"loss_bbox": 0.5}, {"loss_bbox": 1.0}]
    assert [label["loss_weights"].item() for label in batch["labels"]] == pytest.approx([0.1, 0.9])


def processor() -> RTDetrImageProcessorPil:
    return RTDetrImageProcessorPil(size={"height": SIZE, "width": SIZE})


def rows(**columns: Any) -> Item:
    one = dict(category_id=1, bbox=[5, 5, 20, 20], area=400, iscrowd=0)
    return {
        "image": [np.zeros((40, 40, 3), dtype=np.uint8)] * 2,
        "annotations": [{"image_id": number, "annotations": [{**one, "image_id": number}]} for number in range(2)],
        **columns,
    }


def test_a_model_without_label_dicts_is_weighted_through_the_collator(args: TrainingArguments) -> None:
    arch = ARCHITECTURES["mask2former"]
    batch = arch.batch([2] * 4)
    items = [{name: values[number] for name, values in batch.items()} for number in range(4)]

    def collate_masks(items: Sequence[Item]) -> Item:
        assert all("dataset" not in item for item in items)
        pixels = torch.stack([item["pixel_values"] for item in items])
        return {"pixel_values": pixels, **{name: [item[name] for item in items] for name in ("mask_labels", "class_labels")}}

    weights = LossWeights({"real": 1.0, "synthetic": {"loss_mask": 0.3}}, interval=1)
    names = {"Trainer": Trainer, "args": args, "weights": weights, "mask2former": build(arch), "collate_masks": collate_masks}
    trainer = run(block("mask2former"), real_masks=items, synthetic_masks=items, **names)["trainer"]
    trainer.train()
    assert weights.take_measurements() == {}  # they went into the log
    logged = {name: value for entry in trainer.state.log_history for name, value in entry.items()}
    assert logged["weight/loss_mask/synthetic"] == 0.3


def test_the_lowest_layer(names: Item) -> None:
    batch = collate(images(2))
    stock = names["model"](**batch).loss
    found = run(block("weigh(model)\n"), **names, **batch)
    assert weighed_forward(found["model"]) is not None
    assert found["loss"].item() == stock.item()


def test_a_check_prints_the_table(names: Item, weights: LossWeights, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(block("weights.check"), weights=weights, **names)["result"]
    assert plain(table_of(result.mix)) in capsys.readouterr().out
    misspelt = LossWeights({"rael": 0.5, "synthetic": {"loss_giou": 0.1}})
    with pytest.raises(AssertionError):
        run(block("weights.check"), weights=misspelt, **names)


def test_without_a_mix_there_are_no_shares_and_nothing_is_normalised(names: Item, weights: LossWeights) -> None:
    assert "%" not in str(LossWeights({"real": 0.5}).check(names["model"]))
    with pytest.raises(WeightError, match="normalize"):
        weights.weigh(names["model"])


def test_a_search_draws_the_weights_of_the_block(names: Item, weights: LossWeights, capsys: pytest.CaptureFixture[str]) -> None:
    code = block("hyperparameter_search").replace("n_trials=20", "n_trials=1")
    names["args"].max_steps, names["args"].eval_strategy = 1, "steps"
    best = run(code, weights=weights, make_model=lambda: build(ARCHITECTURES["rt-detr"]), validation=images(4), **names)["best"]
    assert set(best.hyperparameters) == {"synthetic: loss_vfl", "synthetic: loss_bbox"}
    assert str(best.hyperparameters) in capsys.readouterr().out


def test_a_screening_says_what_each_weight_does(names: Item, capsys: pytest.CaptureFixture[str]) -> None:
    names["args"].max_steps = 1
    given = dict(names, LossWeights=LossWeights, make_model=lambda: build(ARCHITECTURES["rt-detr"]), validation=images(4))
    results = run(block("found = screen"), **given)["found"].effects.results
    assert len(results) == 8 and len(set(results)) > 4, "the weights and the sampling act"
    assert "is noise (Lenth's method, 95 %)" in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------------------------------
# The official example scripts: the changed lines run among the lines around them
# ----------------------------------------------------------------------------------------------------------------------


def hunks(diff: str) -> list[str]:
    """The code of each hunk after the change."""
    changed = re.sub(r"^-.*\n", "", diff, flags=re.MULTILINE)
    parts = re.split(r"^@@\n", changed, flags=re.MULTILINE)
    return [textwrap.dedent(re.sub(r"^[ +]", "", part, flags=re.MULTILINE)) for part in parts]


def dataset() -> tuple[Dataset, Callable[[Item], Item]]:
    count = 8
    sources = ["real", "synthetic"] * (count // 2)
    by_number = images(count)

    def transform(rows: Item) -> Item:
        chosen = [by_number[number] for number in rows["image_id"]]
        return {name: [item[name] for item in chosen] for name in ("pixel_values", "labels")}

    return Dataset.from_dict({"image_id": list(range(count)), "source": sources}), transform


def run_hunk(hunk: str, names: Item) -> None:
    exec(compile(hunk, "docs/transformers.md", "exec"), names)


@pytest.mark.parametrize("diff", DIFFS, ids=["trainer", "no-trainer"])
def test_a_diff_adds_five_lines_at_most(diff: str) -> None:
    assert len(re.findall(r"^\+", diff, flags=re.MULTILINE)) <= 5


def test_the_diff_of_the_script_with_a_trainer(args: TrainingArguments) -> None:
    rows, transform = dataset()
    args.do_train = args.do_eval = True
    args.eval_do_concat_batches = False
    seen: list[Any] = []
    names: Item = {
        "Trainer": Trainer,
        "model": build(ARCHITECTURES["yolos"]),
        "training_args": args,
        "dataset": {"train": rows.with_transform(transform), "validation": rows.with_transform(transform)},
        "image_processor": None,
        "collate_fn": collate,
        "eval_compute_metrics_fn": lambda result: seen.append(result) or {},
    }
    for hunk in hunks(DIFFS[0]):
        run_hunk(hunk, names)
    names["trainer"].train()
    logged = {name: value for entry in names["trainer"].state.log_history for name, value in entry.items()}
    assert "weight/loss_ce/synthetic" in logged
    names["trainer"].evaluate()
    assert seen, "the metrics see predictions and labels as before"


def test_the_diff_of_the_script_without_a_trainer() -> None:
    rows, transform = dataset()
    model = build(ARCHITECTURES["yolos"])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    names: Item = {
        "dataset": {"train": rows},
        "train_transform_batch": transform,
        "model": model,
        "optimizer": optimizer,
        "accelerator": Accelerator(),
        "lr_scheduler": torch.optim.lr_scheduler.ConstantLR(optimizer),
        "valid_dataloader": None,
        "test_dataloader": None,
        "progress_bar": type("Bar", (), {"update": lambda self, steps: None})(),
        "epoch": 0,
    }
    imports, mixed, prepared, stepped = hunks(DIFFS[1])
    run_hunk(imports, names)
    run_hunk(mixed, names)
    names["train_dataloader"] = DataLoader(names["train_dataset"], batch_size=4, collate_fn=collate)
    run_hunk(prepared, names)
    for batch in names["train_dataloader"]:
        assert {label["dataset"] for label in batch["labels"]} == {"real"}
        names["accelerator"].backward(names["model"](**batch).loss)
        run_hunk(stepped, names)
        break
    assert weighed_forward(model) is not None


def test_the_generated_tables_are_current() -> None:
    script = ROOT / "scripts" / "transformers_table.py"
    assert subprocess.run([sys.executable, str(script), "--check"], capture_output=True).returncode == 0, f"run {script.name}"

"""docs/index.md: both tabs run and print what the page says. And docs/by_hand.md is a config."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from support.coco import write_dataset
from support.transformers_zoo import ZOO, build
from transformers import Trainer, TrainingArguments

from headweights.check.run import checked
from headweights.mixture.table import plain, table_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
RT_DETR = next(arch for arch in ZOO if arch.name == "rt-detr")


def blocks(framework: str, language: str) -> list[str]:
    (tab,) = re.findall(rf'^=== "{framework}"\n(.*?)(?=^\S)', (DOCS / "index.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(rf"```{language}\n(.*?)```", textwrap.dedent(tab), flags=re.DOTALL)


def test_the_tab_for_mmdetection_prints_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, images in (("real", 4), ("synthetic", 12)):
        write_dataset(tmp_path / "data", name, images=images, classes=["person"])
    (config,) = blocks("mmdetection", "python")
    Path("config.py").write_text(config)
    result = checked(Path("config.py"))
    assert not result.problems
    assert result.mix is not None
    (table,) = blocks("mmdetection", "text")
    assert table.strip() in plain(table_of(result.mix))


def test_the_tab_for_transformers_trains_and_prints_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def images(count: int) -> list[dict[str, Any]]:
        batch = RT_DETR.batch([2] * count)
        return [{"pixel_values": image, "labels": label} for image, label in zip(batch["pixel_values"], batch["labels"])]

    def collate(items: list[Any]) -> dict[str, Any]:
        return {"pixel_values": torch.stack([item["pixel_values"] for item in items]), "labels": [i["labels"] for i in items]}

    args = TrainingArguments(
        str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=4,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
    )
    names = dict(Trainer=Trainer, model=build(RT_DETR), args=args, collate=collate, real=images(4), synthetic=images(12))
    setup, check, training = blocks("transformers", "python")
    (table,) = blocks("transformers", "text")
    exec(setup, names)
    exec(check, names)
    assert table.strip() in capsys.readouterr().out
    exec(training, names)
    assert json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert json.loads((tmp_path / "headweights.json").read_text())["target"] == "real"


def test_the_config_by_hand_is_a_config(tmp_path: Path) -> None:
    (config,) = re.findall(r"```python\n(.*?)```", (DOCS / "by_hand.md").read_text(), flags=re.DOTALL)
    (tmp_path / "config.py").write_text(config)
    loaded = Config.fromfile(tmp_path / "config.py")
    model = MODELS.build(loaded.model)
    assert type(model.rpn_head).__name__ == "RPNHeadWithWeightPerImage"
    assert type(model.roi_head.bbox_head).__name__ == "Shared2FCBBoxHeadWithWeightPerImage"
    steps = [TRANSFORMS.build(dataset.pipeline[-1]) for dataset in loaded.train_dataloader.dataset.datasets]
    fields = [dict.fromkeys(("rpn_head.loss_weight", "roi_head.loss_weight"), 1.0) for _ in range(2)]
    fields[1]["roi_head.loss_weight"] = 0.2
    assert [step.values for step in steps] == fields

"""Output directories of transformers' Trainer: a tiny YOLOS, really trained on random images.

The entries by data set and the metrics are made up; everything else is what the Trainer writes.
"""

from __future__ import annotations

import math
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    YolosConfig,
    YolosForObjectDetection,
)

from headweights.run_record.file import write_record
from headweights.run_record.log_entries import (
    GRADIENT_COSINE,
    GRADIENT_SHARE,
    LOSS_SHARE,
    RAW_LOSS,
    WEIGHT,
    WEIGHTED_LOSS,
    Entry,
    pair_name,
)
from headweights.run_record.schema import DataSetRecord, HeadRecord, RunRecord, Sample, WeightRecord

# The name of the second one ends like a clock of the Trainer's.
REAL, SYNTHETIC = "real", "night_time"
WEIGHTS = {"loss_ce": 0.05, "loss_bbox": 1.0, "loss_giou": 1.0}


class _Images(torch.utils.data.Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        boxes = torch.rand(1, 4, generator=generator) * 0.4 + 0.2
        return dict(
            pixel_values=torch.rand(3, 32, 32, generator=generator),
            labels=dict(class_labels=torch.tensor([index % 3]), boxes=boxes),
        )


def _collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(pixel_values=torch.stack([item["pixel_values"] for item in items]), labels=[item["labels"] for item in items])


class _Entries(TrainerCallback):
    """Logs what two data sets give, beside the Trainer's own loss."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if "loss" in state.log_history[-1]:
            state.log_history.append({**_entries(state.global_step), "epoch": state.epoch, "step": state.global_step})


def _entries(step: int) -> dict[str, float]:
    entries: dict[Entry, float] = {}
    for n, (loss, weight) in enumerate(WEIGHTS.items()):
        raw = {REAL: 1 + n + math.exp(-step / 8), SYNTHETIC: 1.5 + n + math.exp(-step / 6)}
        weights = {REAL: 1.0, SYNTHETIC: weight}
        total = sum(raw[name] * weights[name] for name in raw)
        for name in raw:
            entries[Entry(RAW_LOSS, loss, name)] = raw[name]
            entries[Entry(WEIGHTED_LOSS, loss, name)] = raw[name] * weights[name]
            entries[Entry(WEIGHT, loss, name)] = weights[name]
            entries[Entry(LOSS_SHARE, loss, name)] = raw[name] * weights[name] / total
        entries[Entry(GRADIENT_SHARE, loss, REAL)] = 0.6
        entries[Entry(GRADIENT_SHARE, loss, SYNTHETIC)] = 0.4
        entries[Entry(GRADIENT_COSINE, loss, pair_name(SYNTHETIC, REAL))] = 0.2 * n - 0.1
    return {entry.name: value for entry, value in entries.items()}


def _record(samples: dict[str, list[dict[str, Any]]]) -> RunRecord:
    return RunRecord(
        target=REAL,
        datasets=[
            DataSetRecord(
                name=name,
                images=4,
                objects=4,
                drawn=0.5,
                classes=["a", "b", "c"],
                samples=[Sample.model_validate(sample) for sample in samples.get(name, [])],
            )
            for name in (REAL, SYNTHETIC)
        ],
        heads=[HeadRecord(path=loss, losses=[loss]) for loss in WEIGHTS],
        table=[
            WeightRecord(dataset=name, head=loss, weight=weight, source="hook", share=weight / (1 + WEIGHTS[loss]))
            for loss in WEIGHTS
            for name, weight in ((REAL, 1.0), (SYNTHETIC, WEIGHTS[loss]))
        ],
        weights={REAL: 1.0, SYNTHETIC: WEIGHTS},
    )


def train(
    output_dir: Path,
    *,
    steps: int = 12,
    resume: bool = False,
    weighted: bool = True,
    samples: dict[str, list[dict[str, Any]]] | None = None,
    **arguments: Any,
) -> Trainer:
    """Trains, evaluates and saves a checkpoint every 4 steps, and logs every 2.

    Args:
        output_dir: The folder of the run.
        steps: The last step.
        resume: Whether to resume from the newest checkpoint.
        weighted: Whether the run has a record and entries by data set.
        samples: The record's samples of each data set.
        arguments: More arguments of the Trainer.

    Returns:
        The trainer, which has not saved its state and model yet.
    """
    torch.manual_seed(0)
    narrow = YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[32, 32],
        patch_size=16,
        num_detection_tokens=5,
        num_labels=3,
    )
    evaluations = count(1)
    trainer = Trainer(
        model=YolosForObjectDetection(narrow),
        args=TrainingArguments(
            output_dir=str(output_dir),
            max_steps=steps,
            logging_steps=2,
            eval_strategy="steps",
            eval_steps=4,
            save_steps=4,
            per_device_train_batch_size=4,
            remove_unused_columns=False,
            eval_do_concat_batches=False,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            **arguments,
        ),
        train_dataset=_Images(),
        eval_dataset=_Images(),
        data_collator=_collate,
        compute_metrics=lambda _: {"mar_100": 0.3, "map_small": -1.0, "map": 0.1 * next(evaluations), "map_cat": 0.2},
        callbacks=[_Entries()] if weighted else [],
    )
    if weighted:
        write_record(output_dir, _record(samples or {}))
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def save(trainer: Trainer) -> None:
    """Saves what a training script saves at its end."""
    trainer.save_model()
    trainer.save_state()

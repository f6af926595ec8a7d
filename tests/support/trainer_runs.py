"""Output directories of transformers' Trainer: a tiny YOLOS, really trained on random images.

The metrics are made up; everything else is what the Trainer and headweights write.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainingArguments, YolosConfig, YolosForObjectDetection

from headweights.transformers import LossWeights

# The name of the second one ends like a clock of the Trainer's.
REAL, SYNTHETIC = "real", "night_time"
WEIGHTS = {REAL: 1.0, SYNTHETIC: {"loss_ce": 0.05}}


class _Images(torch.utils.data.Dataset[dict[str, Any]]):
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(100 * self.seed + index)
        boxes = torch.rand(1, 4, generator=generator) * 0.4 + 0.2
        return dict(
            pixel_values=torch.rand(3, 32, 32, generator=generator),
            labels=dict(class_labels=torch.tensor([index % 3]), boxes=boxes),
        )


def _collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(pixel_values=torch.stack([item["pixel_values"] for item in items]), labels=[item["labels"] for item in items])


def train(
    output_dir: Path,
    *,
    steps: int = 12,
    resume: bool = False,
    weighted: bool = True,
    **arguments: Any,
) -> Trainer:
    """Trains, evaluates and saves a checkpoint every 4 steps, and logs every 2.

    Args:
        output_dir: The folder of the run.
        steps: The last step.
        resume: Whether to resume from the newest checkpoint.
        weighted: Whether headweights takes part.
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
    weights = LossWeights(WEIGHTS, target=REAL)
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
        train_dataset=weights.mix({REAL: _Images(1), SYNTHETIC: _Images(2)}) if weighted else _Images(1),
        eval_dataset=_Images(3),
        data_collator=_collate,
        compute_metrics=lambda _: {"mar_100": 0.3, "map_small": -1.0, "map": 0.1 * next(evaluations), "map_cat": 0.2},
        callbacks=[weights] if weighted else [],
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def save(trainer: Trainer) -> None:
    """Saves what a training script saves at its end."""
    trainer.save_model()
    trainer.save_state()

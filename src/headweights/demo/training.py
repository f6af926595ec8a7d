"""One training with mmengine's `Runner`."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

# Loads mmdetection, before there is anything to train.
import headweights.mmdet  # noqa: F401
from headweights.demo.config import load_config, measuring
from headweights.demo.job import Job, Step, Trained


def train(job: Job, report: Callable[[Step], None]) -> Trained:
    """Trains a config as mmdetection's `tools/train.py` does.

    Args:
        job: Its config has an `IterBasedTrainLoop`. The detections on the held-out images, if it has any, are written to
            `held_out.bbox.json`, in COCO's format.
        report: Called after each training iteration and each test image.
    """
    started = monotonic()
    torch.set_num_threads(1)
    # Denormal floats make a CPU several times slower and do not matter here.
    torch.set_flush_denormal(True)
    config = load_config(job)
    if job.target is not None:
        measuring(config, job.target)
    if config.val_evaluator is not None:
        config.val_evaluator.outfile_prefix = str(job.work_dir / "held_out")
    runner = Runner.from_cfg(config)
    hook = _ReportHook(report)
    runner.register_hook(hook)
    runner.train()
    return Trained(
        name=job.name,
        metrics=hook.metrics,
        seconds=monotonic() - started,
        config=job.work_dir / Path(config.filename).name,
        log=Path(runner.logger.log_file),
        checkpoint=job.work_dir / f"iter_{runner.iter}.pth",
    )


class _ReportHook(Hook):
    """Reports each training iteration and each test image, and keeps the metrics."""

    def __init__(self, report: Callable[[Step], None]) -> None:
        self.report = report
        self.metrics: dict[str, float] = {}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.report(Step("train", batch_idx + 1, runner.max_iters, float(outputs["loss"])))

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.report(Step("test", batch_idx + 1, len(runner.val_dataloader)))

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self.metrics = dict(metrics or {})

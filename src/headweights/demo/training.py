"""One training with mmengine's `Runner`: its progress and its results."""

from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Iterations between lines of output, if there is no terminal to draw a bar in.
LINE_EVERY = 50


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        name: The name of the run.
        metrics: The metrics of its validation on the held-out tiles; empty if nothing was detected.
        seconds: The duration in seconds, including the validation.
        config, log, checkpoint: Files that it wrote.
    """

    name: str
    metrics: dict[str, float]
    seconds: float
    config: Path
    log: Path
    checkpoint: Path


def train(config: Config, progress: Progress) -> Trained:
    """Trains a config as mmdetection's `tools/train.py` does, and shows the progress.

    Args:
        config: Has an `IterBasedTrainLoop`, a `CocoMetric`, a `work_dir` and an `experiment_name`.
        progress: The bars; this run adds its own.
    """
    started = monotonic()
    work_dir = Path(config.work_dir)
    # The detections in COCO's format, held_out.bbox.json.
    config.val_evaluator.outfile_prefix = str(work_dir / "held_out")
    runner = Runner.from_cfg(config)
    hook = _ProgressHook(progress, config.experiment_name)
    runner.register_hook(hook)
    runner.train()
    return Trained(
        name=config.experiment_name,
        metrics=hook.metrics,
        seconds=monotonic() - started,
        config=work_dir / Path(config.filename).name,
        log=Path(runner.logger.log_file),
        checkpoint=work_dir / f"iter_{runner.iter}.pth",
    )


def progress_bar(console: Console) -> Progress:
    """A bar with the loss, the elapsed and the remaining time. It does not redirect stdout, since the demo does so itself."""
    return Progress(
        TextColumn("{task.description:>18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class _ProgressHook(Hook):
    """Advances a bar after each training iteration and each test image. Without a terminal it prints a line now and then."""

    def __init__(self, progress: Progress, title: str) -> None:
        self.progress = progress
        self.title = title
        self.metrics: dict[str, float] = {}

    def before_train(self, runner: Any) -> None:
        self.training = self.progress.add_task(f"{self.title}: train", total=runner.max_iters, loss="")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        loss = f"loss {float(outputs['loss']):.3f}"
        self.progress.update(self.training, advance=1, loss=loss)
        done = batch_idx + 1
        if not self.progress.console.is_terminal and (done % LINE_EVERY == 0 or done == runner.max_iters):
            self.progress.console.print(f"{self.title}: iteration {done} of {runner.max_iters}, {loss}")

    def before_val_epoch(self, runner: Any) -> None:
        self.testing = self.progress.add_task(f"{self.title}: test", total=len(runner.val_dataloader), loss="")

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.progress.update(self.testing, advance=1)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self.metrics = dict(metrics or {})

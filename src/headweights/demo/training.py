"""One training with mmengine's `Runner`, and its results."""

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from headweights.demo.precision import Precision, precision_by_place


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        name: The name of the run.
        precision: The average precision on the held-out tiles, by place and on `all`.
        seconds: The duration in seconds, including the test.
        config, log, scalars, checkpoint: Files that it wrote.
    """

    name: str
    precision: dict[str, Precision]
    seconds: float
    config: Path
    log: Path
    scalars: Path
    checkpoint: Path


def train(config: Config, *hooks: Hook) -> Trained:
    """Trains a config as mmdetection's `tools/train.py` does, with additional hooks.

    Args:
        config: Has an `IterBasedTrainLoop` on a `ConcatDataset`, a `CocoMetric`, a `work_dir` and an `experiment_name`.
        *hooks: Hooks to register in addition to those of the config.
    """
    started = monotonic()
    work_dir = Path(config.work_dir)
    config.val_evaluator.outfile_prefix = str(work_dir / "held_out")
    runner = Runner.from_cfg(config)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return Trained(
        name=config.experiment_name,
        precision=precision_by_place(Path(config.val_evaluator.ann_file), work_dir / "held_out.bbox.json"),
        seconds=monotonic() - started,
        config=work_dir / Path(config.filename).name,
        log=Path(runner.logger.log_file),
        scalars=Path(runner.log_dir) / "vis_data" / "scalars.json",
        checkpoint=work_dir / f"iter_{runner.iter}.pth",
    )

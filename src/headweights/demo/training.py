"""One training with mmengine's `Runner`, and what it leaves behind."""

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
        name: What the run is called.
        precision: The average precision on the held-out tiles, by place and on `all`.
        seconds: How long it took, the test included.
        config, log, scalars, checkpoint: Files that it left.
    """

    name: str
    precision: dict[str, Precision]
    seconds: float
    config: Path
    log: Path
    scalars: Path
    checkpoint: Path


def train(config: Config, *hooks: Hook) -> Trained:
    """Trains what `config` describes, as mmdetection's `tools/train.py` does, with more hooks.

    Args:
        config: Has an `IterBasedTrainLoop` on a `ConcatDataset`, a `CocoMetric`, a `work_dir` and an `experiment_name`.
        *hooks: Hooks to register besides those of the configuration.
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

"""What a training of the demo is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """What to train.

    Args:
        config: The config file.
        data: The folder with the data sets.
        work_dir: Where the run writes its config, log and checkpoint. Its name is the name of the run.
        iters: Number of training iterations; the held-out images are evaluated after the last one.
        seed: Seed of the initial parameters, the order of the images and the samplers.
        target: The data set that the detector is for; the run measures what each data set contributes. None: it does not.
    """

    config: Path
    data: Path
    work_dir: Path
    iters: int
    seed: int
    target: str | None = None

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.work_dir.name


@dataclass(frozen=True)
class Step:
    """A finished training iteration or test image: `done` of `total`. `phase` is `train` or `test`; a test has no loss."""

    phase: str
    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        name: The name of the run.
        metrics: The metrics of its validation on the held-out images; empty if nothing was detected.
        seconds: The duration in seconds, including the validation.
        config, log, checkpoint: Files that it wrote.
    """

    name: str
    metrics: dict[str, float]
    seconds: float
    config: Path
    log: Path
    checkpoint: Path

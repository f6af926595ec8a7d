"""One trial: a training of the user's config with other weights, by mmengine's own Runner, in a folder of its own."""

from __future__ import annotations

import contextlib
import copy
import difflib
import math
import numbers
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import headweights.mmdet  # noqa: F401  (registers LossWeightHook)
from headweights.errors import WeightError
from headweights.mmdet.config import weight_hooks, with_import
from headweights.tune.plan import GREATER, Plan

# What a trial prints is there: mmengine's log, COCO's tables.
SCREEN_LOG = "screen.log"
# Iterations between looks at whether the loss is finite: each waits for the GPU.
_LOOK_EVERY = 50


class SearchError(WeightError):
    """What is wrong is wrong in every trial: there is no use in going on."""


class NotFiniteError(RuntimeError):
    """A training's loss or metric is NaN, infinite or missing."""


class ReportHook(Hook):
    """After every validation tells Optuna the metric, and ends a training that it gives up; stops one whose loss is not finite.

    Args:
        trial: The trial.
        metric: The metric; None for the first one of which mmengine knows that more is better.
        rule: ``'greater'`` or ``'less'``: what is better.
        after: Called after every validation.

    Attributes:
        metric: The metric, once there was a validation.
        value: What the last validation said.
        pruned: Whether Optuna gave the trial up.
    """

    # After the CheckpointHook, which may save the best.
    priority = "LOWEST"

    def __init__(self, trial: optuna.Trial, metric: str | None, rule: str, after: Callable[[], None]) -> None:
        self.trial = trial
        self.metric = metric
        self.rule = rule
        self.after = after
        self.value: float | None = None
        self.pruned = False
        self._validations = 0
        self._finite = True

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Remembers whether the loss is finite, and looks at it now and then."""
        loss = (outputs or {}).get("loss")
        if isinstance(loss, torch.Tensor):
            self._finite = torch.isfinite(loss.detach()).all() & self._finite  # type: ignore[assignment]
        if self.every_n_train_iters(runner, _LOOK_EVERY):
            self._look(runner)

    def before_val(self, runner: Any) -> None:
        """Spares a training that has failed its validation."""
        self._look(runner)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Reports the metric."""
        self.value = self._value(metrics or {})
        self._validations += 1
        self.trial.report(self.value, self._validations)
        self.after()
        # A training that is at its end is not spared anything.
        if runner.iter < runner.max_iters and self.trial.should_prune():
            self.pruned = True
            runner.train_loop.stop_training = True

    def _look(self, runner: Any) -> None:
        if not bool(self._finite):
            raise NotFiniteError(f"the loss is not finite before iteration {runner.iter + 1}")

    def _value(self, metrics: dict[str, Any]) -> float:
        numeric = {
            name: float(value)
            for name, value in metrics.items()
            if isinstance(value, numbers.Real) or (isinstance(value, torch.Tensor) and value.numel() == 1)
        }
        if not numeric:  # mmdetection's COCO evaluation gives no number where nothing was detected
            if self.rule == GREATER:
                return 0.0
            raise NotFiniteError("the validation gives no number")
        if self.metric is None:
            self.metric = next((name for name in numeric if _known_as_greater(name)), None)
            if self.metric is None:
                raise SearchError(
                    "mmengine knows of none of the validation's metrics that more is better; name one with --metric. "
                    f"Found: {', '.join(map(repr, numeric))}."
                )
        if self.metric not in numeric:
            near = difflib.get_close_matches(self.metric, numeric, n=1, cutoff=0.3)
            raise SearchError(
                f"the validation gives no metric {self.metric!r}."
                + (f" Nearest valid: {near[0]!r}." if near else "")
                + f" Found: {', '.join(map(repr, numeric))}."
            )
        if not math.isfinite(numeric[self.metric]):
            raise NotFiniteError(f"{self.metric} is {numeric[self.metric]}")
        return numeric[self.metric]


def _known_as_greater(metric: str) -> bool:
    try:
        return bool(CheckpointHook(save_best=metric).rules == [GREATER])
    except ValueError:
        return False


def trial_config(plan: Plan, config: Any, parameters: Mapping[str, float], folder: Path) -> Any:
    """The user's config with the weights of a trial, to be trained in a folder.

    Args:
        plan: The search.
        config: The user's config, which stays as it is.
        parameters: A value of every parameter.
        folder: Where all of it goes, checkpoints too.
    """
    config = copy.deepcopy(config)
    # Unless it is asked for, nobody waits for what each data set contributes.
    hook = {"interval": 0, **copy.deepcopy(plan.hook), "weights": plan.block(parameters)}
    config.custom_imports = with_import(config)
    config.custom_hooks = weight_hooks(config, hook)
    config.work_dir = str(folder)
    # mmengine keeps loggers and visualizers by name for as long as the process lives.
    config.experiment_name = f"{plan.path.stem}-trial-{folder.name}-{time.time_ns():x}"
    if isinstance(config.get("visualizer"), dict):
        config.visualizer.name = config.experiment_name
    config.resume = False
    if (config.get("randomness") or {}).get("seed") is None:
        config.randomness = {**(config.get("randomness") or {}), "seed": plan.seed}
    checkpoint = (config.get("default_hooks") or {}).get("checkpoint")
    if isinstance(checkpoint, dict):
        checkpoint.pop("out_dir", None)
    return config


def train(config: Any, report: ReportHook) -> float:
    """Trains a trial's config and validates; what it would print goes to ``screen.log`` in its folder.

    Returns:
        What the last validation said. The last and not the best: every trial is compared at the same age,
        and none is given more draws than another.

    Raises:
        optuna.TrialPruned: Optuna gave the trial up.
        SearchError: There is no such metric.
        NotFiniteError: The loss or the metric is not finite.
    """
    folder = Path(config.work_dir)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    with (
        open(folder / SCREEN_LOG, "w", encoding="utf-8") as screen,
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(screen),
    ):
        try:
            runner = RUNNERS.build(config) if config.get("runner_type") else Runner.from_cfg(config)
            runner.register_hook(report)
            runner.train()
        except Exception:
            traceback.print_exc(file=screen)
            raise
        finally:
            _silence(MMLogger.get_current_instance(), folder)
    if report.pruned:
        raise optuna.TrialPruned
    if report.value is None:
        raise SearchError("the training ended without a validation; look at val_begin and val_interval.")
    return report.value


def _silence(logger: MMLogger, folder: Path) -> None:
    """Has a logger let go of the files of a trial; mmengine keeps it, and logs with it until there is another one."""
    for handler in [*logger.handlers]:
        file = getattr(getattr(handler, "stream", None), "name", None)
        if isinstance(file, str) and Path(file).is_relative_to(folder):
            logger.removeHandler(handler)
            handler.close()

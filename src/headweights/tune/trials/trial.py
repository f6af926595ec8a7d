"""One trial: a training of the user's config with the trial's weights, by mmengine's Runner, in its own folder."""

from __future__ import annotations

import contextlib
import copy
import difflib
import math
import numbers
import shutil
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import headweights.mmdet  # noqa: F401  (registers LossWeightHook)
from headweights.errors import WeightError
from headweights.mmdet.config import weight_hooks, with_import
from headweights.tune.planning.plan import GREATER, Plan, known_rule
from headweights.tune.planning.shortening import shortened

# The file for the output of a trial: mmengine's log, COCO's tables.
SCREEN_LOG = "screen.log"
# Iterations between checks that the loss is finite. Each check synchronises with the GPU.
_CHECK_INTERVAL = 50


class SearchError(WeightError):
    """An error that every trial would have, so the search stops."""


class NotFiniteError(RuntimeError):
    """A training's loss or metric is NaN, infinite or missing."""


class ReportHook(Hook):
    """Reports the metric to Optuna after every validation. Stops a training that Optuna prunes or whose loss is not finite.

    Args:
        trial: The trial.
        metric: The name of the metric. None: the first one that mmengine knows to be better when higher.
        rule: ``'greater'`` or ``'less'``, whichever is better.
        may_prune: Whether Optuna may prune the trial. Default: True.

    Attributes:
        metric: The name of the metric, known after the first validation.
        value: The metric of the last validation.
        pruned: Whether Optuna pruned the trial.
    """

    # After the CheckpointHook, which may save the best.
    priority = "LOWEST"

    def __init__(self, trial: optuna.Trial, metric: str | None, rule: str, may_prune: bool = True) -> None:
        self.trial = trial
        self.may_prune = may_prune
        self.metric = metric
        self.rule = rule
        self.value: float | None = None
        self.pruned = False
        self._validations = 0
        self._finite = True

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Records whether the loss is finite, and checks the record at intervals."""
        loss = (outputs or {}).get("loss")
        if isinstance(loss, torch.Tensor):
            self._finite = torch.isfinite(loss.detach()).all() & self._finite  # type: ignore[assignment]
        if self.every_n_train_iters(runner, _CHECK_INTERVAL):
            self._check_finite(runner)

    def before_val(self, runner: Any) -> None:
        """Stops a failed training before its validation."""
        self._check_finite(runner)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Reports the metric and asks Optuna whether to prune."""
        self.value = self._value(metrics or {})
        self._validations += 1
        self.trial.report(self.value, self._validations)
        # At the end of a training there is nothing left to save.
        if self.may_prune and runner.iter < runner.max_iters and self.trial.should_prune():
            self.pruned = True
            runner.train_loop.stop_training = True

    def _check_finite(self, runner: Any) -> None:
        if not bool(self._finite):
            raise NotFiniteError(f"the loss is not finite before iteration {runner.iter + 1}")

    def _value(self, metrics: dict[str, Any]) -> float:
        numeric = {
            name: float(value)
            for name, value in metrics.items()
            if isinstance(value, numbers.Real) or (isinstance(value, torch.Tensor) and value.numel() == 1)
        }
        if not numeric:  # mmdetection's COCO evaluation returns no metric if nothing was detected
            if self.rule == GREATER:
                return 0.0
            raise NotFiniteError("the validation returns no number")
        if self.metric is None:
            self.metric = next((name for name in numeric if known_rule(name) == GREATER), None)
            if self.metric is None:
                raise SearchError(
                    "mmengine does not know any of the validation's metrics to be better when higher; name one with --metric. "
                    f"Metrics: {', '.join(map(repr, numeric))}."
                )
        if self.metric not in numeric:
            near = difflib.get_close_matches(self.metric, numeric, n=1, cutoff=0.3)
            raise SearchError(
                f"the validation returns no metric {self.metric!r}."
                + (f" Nearest valid: {near[0]!r}." if near else "")
                + f" Metrics: {', '.join(map(repr, numeric))}."
            )
        if not math.isfinite(numeric[self.metric]):
            raise NotFiniteError(f"{self.metric} is {numeric[self.metric]}")
        return numeric[self.metric]


def trial_config(plan: Plan, config: Any, parameters: Mapping[str, float], folder: Path, is_short: bool = False) -> Any:
    """The user's config with the weights and the sampler of a trial, to be trained in a folder.

    Args:
        plan: The search.
        config: The user's config; it is not changed.
        parameters: The value of every parameter.
        folder: The folder for all output, including checkpoints.
        is_short: Whether the training has the length of a screening's. Default: False.
    """
    config = shortened(config, plan.fraction) if is_short else copy.deepcopy(config)
    sampler = plan.sampler(config, parameters)
    if sampler is not None:
        config.train_dataloader.sampler = sampler
    # Contributions take time to measure, so they are off unless the config sets an interval.
    hook = {"interval": 0, **copy.deepcopy(plan.hook), "weights": plan.block(parameters)}
    config.custom_imports = with_import(config)
    config.custom_hooks = weight_hooks(config, hook)
    config.work_dir = str(folder)
    # mmengine caches loggers and visualizers by name for the whole process, so every trial needs its own name.
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
    """Trains and validates a trial's config. Its output goes to ``screen.log`` in its folder.

    Returns:
        The metric of the last validation. Not of the best: all trials are compared after the same number of iterations, and
        more validations do not mean more chances.

    Raises:
        optuna.TrialPruned: Optuna pruned the trial.
        SearchError: There is no such metric, or no validation.
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
            _close_log_files(MMLogger.get_current_instance(), folder)
    if report.pruned:
        raise optuna.TrialPruned
    if report.value is None:
        raise SearchError("the training ended without a validation; check val_begin and val_interval.")
    return report.value


def _close_log_files(logger: MMLogger, folder: Path) -> None:
    """Closes a logger's files in a folder. mmengine would keep writing to them until it has another logger."""
    for handler in [*logger.handlers]:
        file = getattr(getattr(handler, "stream", None), "name", None)
        if isinstance(file, str) and Path(file).is_relative_to(folder):
            logger.removeHandler(handler)
            handler.close()

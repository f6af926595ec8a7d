"""How a config's training is shortened for a screening."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from headweights.errors import WeightError
from headweights.mmdet.config import type_name
from headweights.weights.schedules import is_schedule

_LENGTHS = ("max_epochs", "max_iters")
# The entries of a parameter scheduler that are epochs or iterations.
_TIMES = ("begin", "end", "milestones", "T_max")


def goes_by_epochs(loop: Any) -> bool:
    """Whether a loop, ``train_cfg``, goes by epochs."""
    kind = type_name(loop)
    return kind.endswith("EpochBasedTrainLoop") if kind else bool(loop.get("by_epoch", True))


def shortened(config: Any, fraction: float) -> Any:
    """Returns a config whose training has a fraction of the length: that of its loop and of its parameter schedulers.

    What hooks do at an epoch or iteration of their own stays there.
    """
    config = copy.deepcopy(config)
    for name in _LENGTHS:
        if config.train_cfg.get(name):
            config.train_cfg[name] = _scaled(config.train_cfg[name], fraction)
    if config.train_cfg.get("dynamic_intervals"):
        intervals = config.train_cfg.dynamic_intervals
        config.train_cfg.dynamic_intervals = [(_scaled(since, fraction), interval) for since, interval in intervals]
    _shorten_schedulers(config.get("param_scheduler"), fraction)
    return config


def check_fraction(config: Any, fraction: float, weights: Mapping[str, Any]) -> None:
    """Checks that a config's training can be shortened.

    Args:
        config: The config.
        fraction: The fraction.
        weights: The weights of the config's hook.

    Raises:
        WeightError: It is no fraction, the training would not be shorter, or weights change over time.
    """
    if not 0 < fraction <= 1:
        raise WeightError(f"--fraction is {fraction:g}; it must be above 0 and at most 1.")
    if fraction == 1:
        return
    length = next((int(config.train_cfg[name]) for name in _LENGTHS if config.train_cfg.get(name)), 0)
    if _scaled(length, fraction) >= length:
        unit = "epochs" if config.train_cfg.get("max_epochs") else "iterations"
        raise WeightError(f"--fraction {fraction:g}: the training has {length} {unit}; a fraction of it is no shorter.")
    for name, given in weights.items():
        tables = given.values() if isinstance(given, Mapping) and not is_schedule(given) else (given,)
        if any(isinstance(weight, Mapping) and is_schedule(weight) for weight in tables):
            raise WeightError(
                f"--fraction {fraction:g}: weights of {name!r} change over time, and a shorter training would end early."
            )


def _shorten_schedulers(schedulers: Any, fraction: float) -> None:
    if isinstance(schedulers, (list, tuple)):
        for scheduler in schedulers:
            _shorten_schedulers(scheduler, fraction)
    elif isinstance(schedulers, Mapping) and "type" not in schedulers:  # by optimizer
        _shorten_schedulers(list(schedulers.values()), fraction)
    elif isinstance(schedulers, dict):
        for name in _TIMES:
            times = schedulers.get(name)
            if isinstance(times, (list, tuple)):
                schedulers[name] = [_scaled(time, fraction) for time in times]
            elif times:
                schedulers[name] = _scaled(times, fraction)


def _scaled(time: float, fraction: float) -> int:
    return max(1, round(time * fraction))

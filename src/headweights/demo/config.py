"""Finds the configs of a demo, in an installed wheel or in a checkout, and loads them for a run."""

from __future__ import annotations

import contextlib
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from headweights.demo.job import Job

if TYPE_CHECKING:
    from mmengine.config import Config

# How often a run measures what each data set contributes.
MEASUREMENTS = 30


def config_path(folder: str, name: str) -> Path:
    """Finds the config `name` in examples/`folder`.

    Raises:
        FileNotFoundError: Neither the installed package nor the checkout has it.
    """
    # An editable installation may cover src/ only; then the folder is in the checkout around it.
    paths = [Path(__file__).resolve().parents[3] / "examples" / folder / name]
    with contextlib.suppress(ModuleNotFoundError):
        # In a wheel the folder is a namespace package, which has no path itself. A file in it has one.
        paths.insert(0, Path(str(files("headweights.examples") / folder / name)))
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(f"this installation of headweights has no example config {folder}/{name}")


def load_config(job: Job) -> Config:
    """Loads the config of a job as a user would, and applies the options of the command line."""
    from mmengine.config import Config

    variable = job.config.parent.name.upper()
    before = os.environ.get(variable)
    os.environ[variable] = str(job.data)
    try:
        # Formatting the code would take seconds in each run.
        config = Config.fromfile(job.config, format_python_code=False)
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
    config.work_dir = str(job.work_dir)
    config.experiment_name = job.name
    config.train_cfg.max_iters = config.train_cfg.val_interval = job.iters
    config.randomness = {"seed": job.seed}
    return config


def measuring(config: Config, target: str) -> Config:
    """Makes a run measure what each data set contributes to each head. If the config has no weights, all data sets weigh 1.

    Args:
        config: Changed in place.
        target: The data set that the detector is for.
    """
    import headweights.mmdet  # noqa: F401  (custom_imports take effect only while a config is read, so import it here)

    if not config.get("custom_hooks"):
        config.custom_imports = {"imports": ["headweights.mmdet"], "allow_failed_imports": False}
        config.custom_hooks = [{"type": "LossWeightHook"}]
    config.custom_hooks[0].update(interval=max(1, config.train_cfg.max_iters // MEASUREMENTS), target=target)
    return config

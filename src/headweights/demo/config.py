"""Finds the demo's config files, in an installed wheel or in a checkout, and loads them for a run."""

import contextlib
import os
from importlib.resources import files
from pathlib import Path

from mmengine.config import Config

UNWEIGHTED = "faster-rcnn_r18_fpn_unweighted.py"
# The same weights in two ways: in heads and pipelines, and as one block.
WEIGHTED = "faster-rcnn_r18_fpn_weighted.py"
HOOK = "faster-rcnn_r18_fpn_hook.py"

# Iterations between measurements of each data set's contribution, and the data set that the detector is for.
INTERVAL, TARGET = 15, "real"


def config_path(name: str) -> Path:
    """Finds the tree crown example config called `name`.

    Raises:
        FileNotFoundError: Neither the installed package nor the checkout has it.
    """
    # An editable installation may cover src/ only; then the folder is in the checkout around it.
    paths = [Path(__file__).resolve().parents[3] / "examples" / "tree_crowns" / name]
    with contextlib.suppress(ModuleNotFoundError):
        # In a wheel the folder is a namespace package, which has no path itself. A file in it has one.
        paths.insert(0, Path(str(files("headweights.examples") / "tree_crowns" / name)))
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(f"this installation of headweights has no example config tree_crowns/{name}")


def load_config(name: str, *, data: Path, work_dir: Path, iters: int, seed: int) -> Config:
    """Loads the config `name` as a user would, and applies the options of the command line.

    Args:
        name: File name of the config.
        data: The folder with the data sets.
        work_dir: Where the run writes its config, log and checkpoint.
        iters: Number of training iterations; the held-out tiles are evaluated after the last one.
        seed: Seed of the initial parameters, the order of the images and the samplers.
    """
    before = os.environ.get("TREE_CROWNS")
    os.environ["TREE_CROWNS"] = str(data)
    try:
        config = Config.fromfile(config_path(name))
    finally:
        if before is None:
            del os.environ["TREE_CROWNS"]
        else:
            os.environ["TREE_CROWNS"] = before
    config.work_dir = str(work_dir)
    config.experiment_name = work_dir.name
    config.train_cfg.max_iters = config.train_cfg.val_interval = iters
    config.randomness = {"seed": seed}
    # mmengine caches visualizers by name for the whole process. With the same name, both runs would log to the first's folder.
    config.visualizer.name = work_dir.name
    return config


def measuring(config: Config) -> Config:
    """Makes a run measure what each data set contributes to each head. If the config has no weights, all data sets weigh 1.

    Args:
        config: Changed in place.
    """
    import headweights.mmdet  # noqa: F401  (custom_imports take effect only while a config is read, so import it here)

    if not config.get("custom_hooks"):
        config.custom_imports = {"imports": ["headweights.mmdet"], "allow_failed_imports": False}
        config.custom_hooks = [{"type": "LossWeightHook"}]
    config.custom_hooks[0].update(interval=INTERVAL, target=TARGET)
    return config

"""One training of a study, and the files in its folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mixtures.matches import match
from mixtures.settings import PRETRAININGS, SETTINGS, UNLABELLED

CONFIGS = Path(__file__).parent / "configs"
RESULT, SCREEN = "result.json", "screen.log"


@dataclass(frozen=True)
class Run:
    """The settings that determine a training and its result.

    Args:
        setting: The data: the name of a setting in `mixtures/settings.py`.
        detector: A file in `configs`, without its suffix.
        datasets: The names of the data sets to train on.
        seed: The seed of the training data, the initial parameters and the order of the images.
        split: The split to evaluate after the last iteration: `validation` or `test`.
        iterations: The number of iterations, of `batch_size` images each.
        start: The pretraining to start from. None: from scratch.
        weights: The block of the `LossWeightHook`. None: the stock detector without a hook.
        ratio: The number of images of each data set per batch, by `MultiSourceSampler`. None: images are drawn uniformly.
        rates: How often an image of each data set is drawn, by `SourceRateSampler`. None: images are drawn uniformly.
        by_object: Whether the weight of an object is the known quality of its annotation.
        normalize: Whether the weights of each loss have the mean 1 over the mix.
        labelled: The classes that a data set labels, by data set. None: all data sets label all classes.
    """

    setting: str
    detector: str
    datasets: tuple[str, ...]
    seed: int
    split: str
    iterations: int
    start: str | None = None
    weights: Mapping[str, Any] | None = None
    ratio: tuple[int, ...] | None = None
    by_object: bool = False
    normalize: bool = True
    labelled: Mapping[str, Sequence[str]] | None = None
    rates: tuple[float, ...] | None = None

    def described(self) -> dict[str, Any]:
        """The run as JSON data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


def result_of(run: Run, folder: Path) -> dict[str, Any] | None:
    """The result of a run. None if it is not finished or the folder has another run."""
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("run"), dict):
        return None
    # A result that is older than a field of Run has the field's default.
    defaults = {field.name: field.default for field in fields(Run) if field.default is not MISSING}
    return found if {**defaults, **found["run"]} == run.described() else None


def pretrained(out: Path, name: str, detector: str) -> Path:
    """The checkpoint of a pretraining, in the folder of the study."""
    return out / name / detector / "seed_0" / "pretrained.pth"


def train(run: Run, folder: Path, out: Path) -> None:
    """Trains a run in an empty `folder` and finally writes `folder`/result.json.

    The folder also gets the config, mmengine's log and scalars, the detections and the terminal output.

    Args:
        run: The run.
        folder: Its folder. Earlier contents are removed.
        out: The folder of the study, with `data` and the pretrainings.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (
        open(folder / SCREEN, "w", encoding="utf-8") as screen,
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(screen),
    ):
        try:
            result = _trained(run, folder, out)
        except Exception:
            traceback.print_exc(file=screen)
            raise
    unfinished = folder / (RESULT + ".part")
    unfinished.write_text(json.dumps(result, indent=1), encoding="utf-8")
    os.replace(unfinished, folder / RESULT)


def _trained(run: Run, folder: Path, out: Path) -> dict[str, Any]:
    """Trains and returns the result."""
    import torch
    from mmdet.utils import register_all_modules
    from mmengine.runner import Runner

    torch.set_num_threads(1)
    # Denormal floats make a CPU several times slower and do not matter here.
    torch.set_flush_denormal(True)
    register_all_modules()
    config = config_of(run, folder, out)
    started, cpu = time.monotonic(), time.process_time()
    runner = Runner.from_cfg(config)
    runner.train()
    if run.setting in PRETRAININGS:
        (checkpoint,) = folder.glob("iter_*.pth")
        checkpoint.rename(folder / pretrained(out, run.setting, run.detector).name)
    # mmdetection's COCO evaluation returns no metric if nothing was detected.
    scalars = runner.message_hub.log_scalars
    mean, at_50 = (
        float(scalars[name].current()) if name in scalars else 0.0 for name in ("val/coco/bbox_mAP", "val/coco/bbox_mAP_50")
    )
    found = match(Path(config.val_evaluator.ann_file), folder / f"{run.split}.bbox.json")
    return {
        "run": run.described(),
        "mAP": mean,
        "AP50": at_50,
        "recall": found.recall(),
        "precision": found.precision(),
        "best_F1": found.best_f1(),
        "pictures": run.iterations * config.train_dataloader.batch_size,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def config_of(run: Run, folder: Path, out: Path) -> Any:
    """The config of a run."""
    from mmengine.config import Config

    import headweights.mmdet  # noqa: F401  (custom_imports take effect only while a config is read)

    setting = {**SETTINGS, **UNLABELLED, **PRETRAININGS}[run.setting]
    data = out / "data" / run.setting
    path = CONFIGS / f"{run.detector}.py"
    # Formatting the config would take seconds in each run; Config.fromfile does not pass on that it must not.
    config = Config(Config.fromfile(path).to_dict(), filename=str(path), format_python_code=False)
    for name, value in Config.fromfile(CONFIGS / "training.py").to_dict().items():
        config[name] = value
    head = config.model.roi_head.bbox_head if "roi_head" in config.model else config.model.bbox_head
    head.num_classes = len(setting.classes)
    config.optim_wrapper.optimizer.lr = setting.learning_rates[run.detector]
    metainfo = {"classes": setting.classes}
    pipeline = [*config.pop("load"), *setting.augmentation, {"type": "PackDetInputs"}]
    config.train_dataloader.dataset.datasets = [
        {
            "type": "CocoDataset",
            "data_root": f"{data / f'seed_{run.seed}' / name}/",
            "ann_file": "trusted.json" if run.by_object else "annotations.json",
            "data_prefix": {"img": "images/"},
            "metainfo": {**metainfo, "dataset_name": name},
            "pipeline": pipeline,
        }
        for name in run.datasets
    ]
    if run.ratio is not None:
        batch = config.train_dataloader.batch_size
        config.train_dataloader.sampler = {
            "type": "MultiSourceSampler",
            "batch_size": batch,
            "source_ratio": list(run.ratio),
            "seed": run.seed,
        }
    if run.rates is not None:
        config.train_dataloader.sampler = {
            "type": "SourceRateSampler",
            "source_rates": list(run.rates),
            "infinite": True,
            "seed": run.seed,
        }
    held_out = data / "held_out" / run.split
    config.val_dataloader.dataset.update(data_root=f"{held_out}/", metainfo=metainfo)
    config.val_evaluator.update(ann_file=str(held_out / "annotations.json"), outfile_prefix=str(folder / run.split))
    config.train_cfg.update(max_iters=run.iterations, val_interval=run.iterations)
    if run.weights is not None or run.by_object or run.labelled is not None:
        config.custom_imports = {"imports": ["headweights.mmdet"], "allow_failed_imports": False}
        hook = {"type": "LossWeightHook", "normalize": run.normalize, "interval": 0, "weights": dict(run.weights or {})}
        if run.labelled is not None:
            hook["labelled"] = {name: list(classes) for name, classes in run.labelled.items()}
        config.custom_hooks = [hook]
    if run.start is not None:
        # Layers whose shape depends on the classes keep their random parameters.
        config.load_from = str(pretrained(out, run.start, run.detector))
    if run.setting in PRETRAININGS:
        config.default_hooks.checkpoint.save_last = True
    for unused in ("test_dataloader", "test_evaluator", "test_cfg", "auto_scale_lr"):
        config.pop(unused, None)
    config.randomness = {"seed": run.seed}
    config.work_dir, config.experiment_name = str(folder), folder.name
    config.visualizer.name = str(folder)
    return config

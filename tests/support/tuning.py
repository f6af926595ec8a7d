"""Configs that are trained in seconds and validated, and validations whose numbers are known beforehand."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS, METRICS
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook

from support.coco import pipeline, runner_config, write_dataset
from support.detectors import FASTER_RCNN


@METRICS.register_module()
class WorseEveryTime(BaseMetric):
    """An accuracy that falls with every validation of this process: 1, 1/2, 1/3, ..."""

    count = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Every picture counts as one."""
        self.results.append(1)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """One over the number of validations so far, and a number of which nobody knows whether more is better."""
        type(self).count += 1
        return {"strangeness": 3.0, "accuracy": 1 / type(self).count}


@METRICS.register_module()
class ByWeights(BaseMetric):
    """An accuracy that one weight of the block lowers, and that the others do not touch: 0.6 - 0.3 times that weight.

    Args:
        harmful: The data set and the address of the weight.
        noise: What is added with each further validation of this process. Default: 0.001.
    """

    weights: Mapping[str, Any] = {}
    count = 0

    def __init__(self, harmful: Sequence[str], noise: float = 0.001) -> None:
        super().__init__()
        self.harmful = harmful
        self.noise = noise

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Every picture counts as one."""
        self.results.append(1)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """The accuracy."""
        type(self).count += 1
        name, address = self.harmful
        return {"accuracy": 0.6 - 0.3 * self.weights[name][address] + self.noise * (self.count % 3)}


@HOOKS.register_module()
class TellsWeightsHook(Hook):
    """Tells `ByWeights` the block of the training."""

    def before_val(self, runner: Any) -> None:
        """Tells it."""
        ByWeights.weights = next(hook for hook in runner.cfg.custom_hooks if hook["type"] == "LossWeightHook")["weights"]


@HOOKS.register_module()
class WaitsUntilHook(Hook):
    """Holds every training at its beginning until a file or folder is there."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def before_train(self, runner: Any) -> None:
        """Waits."""
        while not self.path.exists():
            time.sleep(0.05)


@HOOKS.register_module()
class BreaksHook(Hook):
    """Breaks trainings, as memory and learning rates do.

    Args:
        how: ``'crash'`` or ``'diverge'`` by the name of the work directory; ``'*'`` is any other.
    """

    def __init__(self, how: Mapping[str, str]) -> None:
        self.how = how

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Breaks it."""
        how = self.how.get(Path(runner.work_dir).name, self.how.get("*"))
        if how == "crash":
            raise RuntimeError(f"no memory left in {Path(runner.work_dir).name}\nand more")
        if how == "diverge":
            next(parameter for parameter in runner.model.parameters() if parameter.requires_grad).data.fill_(float("nan"))


KNOWN = dict(type="WorseEveryTime")


def tuned_config(
    folder: Path,
    hook: dict[str, Any] | None = None,
    *,
    model: str = FASTER_RCNN,
    epochs: int = 1,
    evaluator: dict[str, Any] | None = None,
    names: Sequence[str] = ("real", "rendered"),
    hooks: Sequence[dict[str, Any]] = (),
    checkpoints: bool = False,
    **more: Any,
) -> Path:
    """A config file as a user's: two data sets of 2 and 4 pictures, 3 iterations an epoch, validated after every epoch.

    Args:
        folder: Where data and config are written.
        hook: The arguments of its LossWeightHook; None for none.
        model: One of mmdetection's configs.
        epochs: Epochs of a training.
        evaluator: What validates; COCO's evaluation by default.
        names: The data sets.
        hooks: Other hooks.
        checkpoints: Whether it saves one after every epoch.
        more: Further entries of the config.
    """
    data = [
        dict(
            write_dataset(folder, name, images=2 * number, size=64, seed=number), serialize_data=False, pipeline=small(pipeline())
        )
        for number, name in enumerate(names, 1)
    ]
    held_out = write_dataset(folder, "held_out", images=1, size=64, seed=9)
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(held_out, test_mode=True, pipeline=small(validation_pipeline())),
    )
    config = runner_config(folder / "run", data, model=model, epochs=epochs)
    # The shallowest backbone: most of the time of so short a training goes into building it.
    config.model.backbone.depth = 18
    config.model.neck.in_channels = [width // 4 for width in config.model.neck.in_channels]
    if model == FASTER_RCNN:
        config.model.test_cfg.update(
            rpn=dict(nms_pre=50, max_per_img=20, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0)
        )
    config.merge_from_dict(
        dict(
            val_dataloader=loader,
            val_cfg=dict(type="ValLoop"),
            val_evaluator=evaluator
            or dict(type="CocoMetric", ann_file=str(folder / "held_out.json"), metric="bbox", format_only=False),
            # Each of them writes the whole config anew, which takes longer than the training.
            default_hooks=dict(checkpoint=dict(interval=1 if checkpoints else -1, save_last=False)),
            visualizer=dict(type="DetLocalVisualizer", vis_backends=[]),
            custom_hooks=[*hooks, *([] if hook is None else [dict(type="LossWeightHook", **hook)])],
            custom_imports=dict(imports=["headweights.mmdet", "support.tuning"], allow_failed_imports=False),
            **more,
        )
    )
    path = folder / "config.py"
    config.dump(path)
    return path


def small(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A pipeline on pictures of 64 pixels."""
    return [dict(step, scale=(64, 64)) if step["type"] == "Resize" else step for step in steps]


def validation_pipeline() -> list[dict[str, Any]]:
    """What a picture goes through to be tested."""
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    return [step for step in pipeline() if step["type"] not in ("RandomFlip", "PackDetInputs")] + [
        dict(type="PackDetInputs", meta_keys=keys)
    ]

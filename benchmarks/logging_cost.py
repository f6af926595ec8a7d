"""Measures the cost of logging contributions: the time of the measurements, divided by the time of a training step.

    .venv/bin/python benchmarks/logging_cost.py [--steps N] [--size N]

The detectors are mmdetection's and transformers' own at full width, with a ResNet-18 backbone for the CPU (a larger one makes
the step slower but not the measurement), on random images of two or four data sets. A training step (forward, backward, SGD), a
measurement of losses, and one that includes gradients alternate in one process. By default every 50th step is measured, and
every tenth measurement includes gradients. The last column is the time that this adds to the training in per cent, with a 95 %
bootstrap interval.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import torch
from mmengine.config import Config
from support.detectors import CONFIGS, build, make_batch
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    ResNetConfig,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrResNetConfig,
)

from headweights.contributions.measure import measured
from headweights.contributions.replay import HeadsOfLosses
from headweights.mmdet.heads.model_heads import heads_of
from headweights.mmdet.heads.publishing import batch_of
from headweights.mmdet.hooks.captured_step import CapturedStep, capturing, heads_of_losses
from headweights.mmdet.hooks.contributions import images_of
from headweights.mmdet.weighting.subclass import weigh_every_head
from headweights.provenance.origin import ORIGINS, Origin, Part
from headweights.transformers import weigh
from headweights.transformers.training.measured_step import MeasuredStep, Recorder
from headweights.transformers.weighting.labels import LabelledBatch
from headweights.transformers.weighting.weigh import weighed_forward

MODELS = {
    "Faster R-CNN": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "Mask R-CNN": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "RetinaNet": "retinanet/retinanet_r50_fpn_1x_coco.py",
    "FCOS": "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py",
    "ATSS": "atss/atss_r50_fpn_1x_coco.py",
}
INTERVAL, TO_GRADIENTS = 50, 10


def detector(path: str) -> Any:
    config = Config.fromfile(CONFIGS / path).model
    config.backbone.update(depth=18, init_cfg=None)
    if "caffe" in path:
        config.backbone.style = "pytorch"
    config.neck.in_channels = [64, 128, 256, 512]
    if "roi_head" in config:  # fewer RoIs since the images are smaller, but relative to their size still more than for COCO
        config.train_cfg.rcnn.sampler.num = 64
        config.train_cfg.rpn_proposal.update(nms_pre=200, max_per_img=200)
    model = build(config)
    weigh_every_head(model)
    return model


def rt_detr() -> Any:
    stages = ["stage2", "stage3", "stage4"]
    widths = [64, 128, 256, 512]
    backbone = RTDetrResNetConfig(depths=[2, 2, 2, 2], layer_type="basic", hidden_sizes=widths, out_features=stages)
    return RTDetrForObjectDetection(RTDetrConfig(backbone_config=backbone, encoder_in_channels=widths[1:], num_labels=80))


def detr() -> Any:
    backbone = ResNetConfig(depths=[2, 2, 2, 2], layer_type="basic", hidden_sizes=[64, 128, 256, 512], out_features=["stage4"])
    return DetrForObjectDetection(
        DetrConfig(use_timm_backbone=False, backbone_config=backbone, auxiliary_loss=True, num_labels=80)
    )


OF_TRANSFORMERS = {"RT-DETR": rt_detr, "DETR": detr}


class Turns(ABC):
    """Times training steps and the two kinds of measurement."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
        self.seconds: dict[str, list[float]] = {"step": [], "losses": [], "gradients": []}

    @abstractmethod
    def turn(self) -> dict[str, float]:
        """Takes a training step and makes both measurements of it. Returns the seconds of each."""

    def update(self, total: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()

    def take(self, turns: int) -> None:
        self.turn()  # warms up
        for _ in range(turns):
            for kind, taken in self.turn().items():
                self.seconds[kind].append(taken)

    def cost(self, turns: list[int]) -> float:
        """The cost at the default interval in per cent of the training time, from some of the turns."""
        step, losses, gradients = (statistics.median(self.seconds[kind][turn] for turn in turns) for kind in self.seconds)
        return 100 * ((TO_GRADIENTS - 1) * losses + gradients) / TO_GRADIENTS / INTERVAL / step


class TurnsOfMmdetection(Turns):
    def __init__(self, path: str, images: int, size: int, data_sets: list[str]) -> None:
        super().__init__(detector(path))
        self.data, self.data_sets = make_batch(self.model, images=images, size=size), data_sets
        for number, sample in enumerate(self.data["data_samples"]):
            sample.set_metainfo({ORIGINS: (Part(Origin(data_sets[number % len(data_sets)])),)})
        self.heads: HeadsOfLosses = {}

    def turn(self) -> dict[str, float]:
        captured: list[CapturedStep] = []
        start = time.perf_counter()
        with capturing(self.model, captured.append):
            losses = self.model(self.data["inputs"], self.data["data_samples"], mode="loss")
        total, _ = self.model.parse_losses(losses)
        self.update(total)
        seconds = {"step": time.perf_counter() - start}
        step = captured[0]
        self.heads = self.heads or heads_of_losses(step)
        terms = heads_of(self.model).book.terms
        for kind in ("losses", "gradients"):
            start = time.perf_counter()
            batch, images = batch_of(self.model, step.samples), images_of(step.samples, self.data_sets)
            measured(step, batch, terms, self.heads, images, with_gradients=kind == "gradients")
            seconds[kind] = time.perf_counter() - start
        return seconds


class TurnsOfTransformers(Turns):
    def __init__(self, make: Callable[[], Any], images: int, size: int, data_sets: list[str]) -> None:
        super().__init__(weigh(make()).train())
        self.pixels, self.data_sets = torch.rand(images, 3, size, size), data_sets
        names = [data_sets[image % len(data_sets)] for image in range(images)]
        boxes = [0.3 + 0.3 * torch.rand(7, 4) for _ in names]
        self.labels = [dict(class_labels=torch.arange(7), boxes=of, dataset=name) for of, name in zip(boxes, names)]

    def turn(self) -> dict[str, float]:
        recorder, seconds = Recorder(), {"step": 0.0}

        def measure(model: Any, batch: LabelledBatch, total: torch.Tensor) -> None:
            targets = list(batch.losses.book.weighted)
            images = {name: [i for i, other in enumerate(batch.datasets) if other == name] for name in self.data_sets}
            for kind in ("losses", "gradients"):
                start = time.perf_counter()
                step, losses = MeasuredStep(batch, recorder, total), {target: (target, "") for target in targets}
                measured(step, batch, batch.losses.book.terms, losses, images, with_gradients=kind == "gradients")
                seconds[kind] = time.perf_counter() - start

        def watch(batch: LabelledBatch) -> Callable[..., None]:
            batch.listener = recorder
            return measure

        start = time.perf_counter()
        forward = weighed_forward(self.model)
        assert forward is not None
        forward.watch = watch
        self.update(self.model(pixel_values=self.pixels, labels=self.labels).loss)
        seconds["step"] = time.perf_counter() - start - seconds["losses"] - seconds["gradients"]
        return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=7, help="turns of each detector (default: 7)")
    parser.add_argument("--size", type=int, default=192, help="side of the images in pixels (default: 192)")
    parser.add_argument("--only", nargs="+", choices=[*MODELS, *OF_TRANSFORMERS], help="detectors (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    print(f"{options.steps} turns, images of {options.size} px, one thread\n")
    print("| detector | images | data sets | step | losses / step | with gradients / step | added at the default interval |")
    print("|---|---|---|---|---|---|---|")
    kinds: dict[str, tuple[type[Any], Any]] = {name: (TurnsOfMmdetection, path) for name, path in MODELS.items()}
    kinds |= {name: (TurnsOfTransformers, make) for name, make in OF_TRANSFORMERS.items()}
    for name in options.only or kinds:
        for images, count in ((4, 2), (4, 4))[: 2 if name in ("Faster R-CNN", "RT-DETR") else 1]:
            turns_of, what = kinds[name]
            turns = turns_of(what, images, options.size, [f"set {number}" for number in range(count)])
            turns.take(options.steps)
            medians = {kind: statistics.median(seconds) for kind, seconds in turns.seconds.items()}
            drawn = sorted(turns.cost(random.choices(range(options.steps), k=options.steps)) for _ in range(1000))
            print(
                f"| {name} | {images} | {count} | {medians['step']:.2f} s | {medians['losses'] / medians['step']:.2f} | "
                f"{medians['gradients'] / medians['step']:.2f} | {turns.cost(list(range(options.steps))):.2f} % "
                f"({drawn[25]:.2f} to {drawn[974]:.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Work directories of training runs, written as mmengine writes them: its Visualizer, its LocalVisBackend, its dump of a config.

The numbers are made up and look like a training; the pictures are real files.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.visualization import Visualizer

from headweights.demo.crowns.render import render_crowns

# The second one's name holds what a name may hold.
REAL, RENDERED, VENDOR = "real", "rendered", "vendor A/loose <boxes> & co"
DATASETS = (REAL, RENDERED, VENDOR)
# Head, its losses, and how the head's logged loss names differ from those that are addressed.
HEADS = {"rpn_head": ("loss_cls", "loss_bbox"), "roi_head": ("loss_cls", "loss_bbox")}
LOGGED = {("rpn_head", "loss_cls"): "loss_rpn_cls", ("rpn_head", "loss_bbox"): "loss_rpn_bbox"}
SCHEDULE = {"schedule": "cosine", "points": [[0, 1.0], [300, 0.1]], "by": "iter"}


def write_pictures(folder: Path, number: int = 2) -> dict[str, list[dict[str, Any]]]:
    """Draws pictures and writes them to a folder; returns the record's samples of each data set."""
    samples: dict[str, list[dict[str, Any]]] = {}
    for n, name in enumerate(DATASETS):
        samples[name] = []
        for index in range(number):
            image = render_crowns(f"{n}-{index}", 160 + 40 * n, 10 * n + index)
            path = folder / f"set{n}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image.image)
            weights = [round(0.2 + 0.8 * (k % 5) / 4, 2) for k in range(len(image.boxes))]
            samples[name].append(
                dict(
                    image=str(path),
                    width=image.image.shape[1],
                    height=image.image.shape[0],
                    boxes=image.boxes.tolist(),
                    labels=[0] * len(image.boxes),
                    object_weights=weights if name == VENDOR else None,
                    image_weights={"roi_head": 0.5} if name == VENDOR else None,
                )
            )
    return samples


def write_run(
    work_dir: Path,
    samples: dict[str, list[dict[str, Any]]],
    *,
    roi_weight: float = 0.2,
    scheduled: bool = True,
    steps: Sequence[int] = range(10, 301, 10),
    timestamp: str = "20260101_120000",
    seed: int = 0,
    lr: float = 0.002,
) -> Path:
    """Writes one session of a run; returns its `vis_data`. With `scheduled`, `VENDOR`'s weight in the RPN falls."""
    rng = np.random.default_rng(seed)
    visualizer = Visualizer(vis_backends=[dict(type="LocalVisBackend")], save_dir=str(work_dir / timestamp))
    config = Config(
        dict(
            model=dict(type="FasterRCNN", backbone=dict(type="ResNet", depth=18)),
            optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=lr, weight_decay=0.01)),
            train_cfg=dict(type="IterBasedTrainLoop", max_iters=300, val_interval=100),
            train_dataloader=dict(batch_size=8, num_workers=0),
            custom_hooks=[dict(type="LossWeightHook", weights={RENDERED: dict(roi_head=roi_weight)})],
            randomness=dict(seed=seed),
            work_dir=str(work_dir),
        )
    )
    visualizer.add_config(config)
    config.dump(str(work_dir / "detector.py"))
    for step in steps:
        line = _training_line(step, roi_weight, scheduled, lr, rng)
        visualizer.add_scalars(line, step=step)
        if step % 100 == 0:
            precision = 0.25 * (1 - math.exp(-step / 150)) * (1.2 if roi_weight < 1 else 1)
            metrics = {
                "coco/bbox_mAP": round(precision, 3),
                "coco/bbox_mAP_50": round(2.2 * precision, 3),
                "coco/bbox_mAP_s": -1.0,
            }
            visualizer.add_scalars({**metrics, "data_time": 0.01, "time": 0.1}, step=step)
    vis_data = work_dir / timestamp / "vis_data"
    (vis_data / "headweights.json").write_text(json.dumps(record(samples, roi_weight, scheduled)))
    visualizer.close()
    return vis_data


def weight_of(dataset: str, head: str, loss: str, roi_weight: float, scheduled: bool, step: int = 0) -> float:
    """The weight that a run sets."""
    if dataset == RENDERED and head == "roi_head":
        return roi_weight / 4 if loss == "loss_cls" and roi_weight < 1 else roi_weight
    if dataset == VENDOR and head == "rpn_head" and scheduled:
        return 0.1 + 0.45 * (1 + math.cos(math.pi * step / 300))
    return 1.0


def record(samples: dict[str, list[dict[str, Any]]], roi_weight: float, scheduled: bool) -> dict[str, Any]:
    """The content of `headweights.json`."""
    drawn = {REAL: 0.1, RENDERED: 0.6, VENDOR: 0.3}
    table = []
    for head, losses in HEADS.items():
        for loss in ("", *losses):
            total = sum(drawn[name] * weight_of(name, head, loss, roi_weight, scheduled) for name in DATASETS)
            for name in DATASETS:
                weight = weight_of(name, head, loss, roi_weight, scheduled)
                moves = name == VENDOR and head == "rpn_head" and scheduled
                table.append(
                    dict(
                        dataset=name,
                        head=head,
                        loss=loss,
                        weight=weight,
                        schedule=copy.deepcopy(SCHEDULE) if moves else None,  # tests change records in place
                        source="hook" if moves or weight != 1 else "default",
                        share=drawn[name] * weight / total,
                    )
                )
    return dict(
        version=1,
        target=REAL,
        datasets=[
            dict(
                name=name,
                ann_file=f"{n}.json",
                images=16 * 10**n,
                objects=131 * 12**n,
                drawn=drawn[name],
                classes=["tree"],
                samples=samples.get(name, []),
            )
            for n, name in enumerate(DATASETS)
        ],
        heads=[
            {
                "path": "rpn_head",
                "class": "RPNHeadWithWeightPerImage",
                "losses": ["loss_cls", "loss_bbox"],
                "logs_weighted": True,
            },
            {"path": "roi_head", "class": "StandardRoIHead", "losses": ["loss_cls", "loss_bbox"], "logs_weighted": True},
        ],
        table=table,
        weights={RENDERED: {"roi_head": roi_weight}},
        settings={},
    )


def _training_line(step: int, roi_weight: float, scheduled: bool, lr: float, rng: np.random.Generator) -> dict[str, Any]:
    line: dict[str, Any] = dict(
        lr=lr * min(1, step / 50), data_time=0.01, grad_norm=4 * math.exp(-step / 200) + rng.normal(0, 0.1)
    )
    total = 0.0
    for head, losses in HEADS.items():
        for loss in losses:
            logged = LOGGED.get((head, loss), loss)
            weighted: dict[str, float] = {}
            for n, name in enumerate(DATASETS):
                # A set whose images are not in the interval's batches has no entry.
                if name == REAL and step % 70 == 0:
                    continue
                weight = weight_of(name, head, loss, roi_weight, scheduled, step)
                raw = (0.3 + 0.15 * n + math.exp(-step / (80 + 30 * n))) * (1 + rng.normal(0, 0.05))
                weighted[name] = raw * weight
                line[f"raw_loss/{head}.{logged}/{name}"] = raw
                line[f"weighted_loss/{head}.{logged}/{name}"] = raw * weight
                line[f"weight/{head}.{loss}/{name}"] = weight
            for name, value in weighted.items():
                line[f"loss_share/{head}.{logged}/{name}"] = value / sum(weighted.values())
            line[logged] = sum(weighted.values())
            total += line[logged]
        shares = rng.dirichlet([4, 8, 5])
        for name, share in zip(DATASETS, shares, strict=True):
            line[f"gradient_share/{head}/{name}"] = share
        for pair, mean in (
            ((RENDERED, REAL), -0.12 if head == "roi_head" else 0.4),
            ((VENDOR, REAL), 0.3),
            ((VENDOR, RENDERED), 0.1),
        ):
            line[f"gradient_cosine/{head}/{pair[0]} vs {pair[1]}"] = mean + rng.normal(0, 0.06)
    return {**line, "loss": total, "time": 0.3, "iter": step}

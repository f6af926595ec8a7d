"""Measures the cost of weights for a million images: reading time, memory, and memory of data loader workers.

    .venv/bin/python benchmarks/million_images.py [--images 1000000]

The data set is mmengine's `BaseDataset` with generated annotations, two objects per image. Each row is measured in its own
process. It reads a source and looks up every image once, as the hook does before training. Then a real `DataLoader` with two
forked workers loads a fifth of the images in random order. At the end, a worker reads its own memory from
/proc/self/smaps_rollup: private memory is its own, and PSS counts a page shared by n processes as one n-th. The last row is
an alternative that the library does not use, the same weights in a Python dict, whose pages a worker copies because of
reference counting.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import multiprocessing
import os
import random
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader, SubsetRandomSampler

from headweights.mmdet import PROVENANCE, LoadLossWeights, image_table
from headweights.provenance.origin import Origin, Part, Provenance

WORKERS = 2
BATCH = 500
SHARE_LOADED = 5
LEVELS = 10


def name_of(number: int) -> str:
    return f"{number // 1000:04d}/{number:07d}.jpg"


class Generated(BaseDataset):  # type: ignore[misc]
    """A data set of images that do not exist, with two objects each."""

    def __init__(self, images: int, **more: Any) -> None:
        self._images = images
        super().__init__(ann_file="generated", **more)

    def load_data_list(self) -> list[dict[str, Any]]:
        box = dict(bbox=[10, 20, 110, 220], bbox_label=3, ignore_flag=0)
        return [
            dict(
                img_path="data/images/" + name_of(number), img_id=number, height=480, width=640, instances=[dict(box), dict(box)]
            )
            for number in range(self._images)
        ]


class FromDict:
    """The alternative that the library does not use: a Python dict of Python objects."""

    def __init__(self, images: int, weights: list[float]) -> None:
        self.weights = {"data/images/" + name_of(number): {"": weights[number]} for number in range(images)}

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        origin = Origin("generated", self.weights[results["img_path"]])
        return {**results, PROVENANCE: Provenance((Part(origin),))}


def read_memory(results: dict[str, Any]) -> dict[str, int]:
    """The last step of the pipeline: sometimes reads the memory of this process in bytes (always would be slow)."""
    memory = {}
    if random.random() < 0.002:
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
            key, size = line.split()[:2]
            memory[key.rstrip(":")] = 1024 * int(size)
        memory["pid"] = os.getpid()
    return memory


def pick(batch: list[dict[str, int]]) -> dict[str, int]:
    return next((memory for memory in reversed(batch) if memory), {})


def source_of(kind: str, images: int, folder: Path) -> Any:
    weights = [round(random.random(), 6) for _ in range(images)]
    levels = [round(weight * LEVELS) / LEVELS for weight in weights]
    if kind == "csv, ten levels":
        with (folder / "w.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [("file_name", "weight"), *((name_of(number), levels[number]) for number in range(images))]
            )
        return str(folder / "w.csv")
    if kind == "csv, all different":
        with (folder / "w.csv").open("w", newline="") as file:
            rows = ((number, weights[number], weights[-number]) for number in range(images))
            csv.writer(file).writerows([("image_id", "rpn_head", "roi_head"), *rows])
        return str(folder / "w.csv")
    if kind == "json, ten levels":
        (folder / "w.json").write_text(json.dumps({name_of(number): levels[number] for number in range(images)}))
        return str(folder / "w.json")
    if kind == "dict, ten levels":
        return {name_of(number): levels[number] for number in range(images)}
    if kind == "five globs":
        return {f"*{digit}.jpg": digit / 10 for digit in range(5)}
    return FromDict(images, weights) if kind == "a Python dict" else None


def measure(kind: str, images: int, by_name: bool) -> dict[str, float]:
    random.seed(0)
    dataset = Generated(images)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = source_of(kind, images, Path(folder))
        steps: list[Any] = []
        start = time.perf_counter()
        if isinstance(source, FromDict):
            steps = [source]
        elif kind != "no weights":
            # Without the hook, the pipeline looks up names in the source; with it, numbers in the resolved table.
            given = source if by_name else image_table(dataset, source)
            steps = [LoadLossWeights("generated", given)]
            found["seconds"] = time.perf_counter() - start
            found["bytes"] = steps[0].images.nbytes / images
        del source
        gc.collect()
    dataset.pipeline.transforms += [*steps, read_memory]
    infos = [dataset.get_data_info(number) for number in range(0, images, max(images // 2000, 1))]
    for step in steps:
        start = time.perf_counter()
        for info in infos:
            step(info)
        found["microseconds"] = 1e6 * (time.perf_counter() - start) / len(infos)
    loaded = SubsetRandomSampler(range(0, images, SHARE_LOADED))
    loader = DataLoader(dataset, BATCH, sampler=loaded, num_workers=WORKERS, collate_fn=pick, multiprocessing_context="fork")
    readings = list({memory["pid"]: memory for memory in loader if memory}.values())  # the last of each worker
    assert len(readings) == WORKERS
    found["private"] = float(np.mean([memory["Private_Dirty"] + memory["Private_Clean"] for memory in readings])) / 2**20
    found["pss"] = float(np.mean([memory["Pss"] for memory in readings])) / 2**20
    return found


def row(kind: str, images: int, by_name: bool = False) -> dict[str, float]:
    # The process of an executor may have child processes, that of a pool may not.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(measure, kind, images, by_name).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    images = parser.parse_args().images
    header = ["weights", "looked up by", "read once", "bytes per image", "per look-up", "private, per worker", "PSS, per worker"]
    print("| " + " | ".join(header) + " |", "|---" * len(header) + "|", sep="\n")
    rows = [("no weights", False), ("csv, ten levels", False), ("csv, all different", False), ("json, ten levels", False)]
    rows += [("dict, ten levels", False), ("five globs", False), ("csv, ten levels", True), ("a Python dict", True)]
    for kind, by_name in rows:
        found = row(kind, images, by_name)
        cells = [kind, "" if kind == "no weights" else "name" if by_name else "number"]
        for key, form in (
            ("seconds", "{:.0f} s"),
            ("bytes", "{:.1f}"),
            ("microseconds", "{:.0f} µs"),
            ("private", "{:.0f} MB"),
            ("pss", "{:.0f} MB"),
        ):
            cells.append(form.format(found[key]) if key in found else "")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

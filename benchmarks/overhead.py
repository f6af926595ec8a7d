"""Measures the cost of weighting: time and peak memory of a training step, weighted divided by stock.

    .venv/bin/python benchmarks/overhead.py [--quick]

The detectors are those of tests/support/zoo.py: mmdetection's own, with few channels. A step is a forward and a backward pass
on random images. The variants of a row run in one process, step by step in random order. A ratio is that of the medians, with
a 95 % bootstrap interval. Small detectors make the test hard, since weighting takes the same time in a full-width detector,
but a step takes much longer. Peak memory is measured in a separate process for each variant.

For comparison, it also measures two alternatives without the library, for 8 images: a forward and a backward pass for each
data set in the batch, or a loss for each image.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import torch
from support.detectors import make_batch
from support.zoo import ZOO, Architecture, build_zoo
from torch import nn

from headweights.mmdet import make_weighted

MODELS = ("faster-rcnn", "retinanet", "fcos", "dino", "mask-rcnn", "rtmdet")
BATCHES = (2, 8, 32)
DATA_SETS = (1, 8, 1000)
SIZE = 128
Step = Callable[[int], None]


def architecture(name: str) -> Architecture:
    return next(arch for arch in ZOO if arch.name == name)


def detector(arch: Architecture, weighted: bool) -> nn.Module:
    model = build_zoo(arch)
    for path in arch.parts if weighted else ():
        make_weighted(model.get_submodule(path))
    return model


def total(losses: dict[str, Any]) -> torch.Tensor:
    parts = [value for name, value in losses.items() if "loss" in name]
    return sum(sum(part) if isinstance(part, (list, tuple)) else part for part in parts)  # type: ignore[return-value]


def weights_of(arch: Architecture, data_set: int) -> dict[str, float]:
    """The fields of the images of one data set: a different weight for each head."""
    return {f"{path}.loss_weight": 0.1 + (data_set * 7 + index) % 50 / 10 for index, path in enumerate(arch.parts)}


def step_of(arch: Architecture, images: int, data_sets: int) -> Step:
    """A training step. Without data sets, the detector is the stock one."""
    model = detector(arch, weighted=data_sets > 0)
    data = make_batch(model, images=images, size=SIZE)

    def step(number: int) -> None:
        for index, sample in enumerate(data["data_samples"] if data_sets else ()):
            sample.set_metainfo(weights_of(arch, (number * images + index) % data_sets))
        model.zero_grad()
        total(model.loss(data["inputs"], data["data_samples"])).backward()

    return step


def step_by_data_set(arch: Architecture, images: int, data_sets: int) -> Step:
    """An alternative without the library: the batch is split by data set, with a weighted pass for each part."""
    model = detector(arch, weighted=False)
    data = make_batch(model, images=images, size=SIZE)
    groups = [list(range(images))[start::data_sets] for start in range(data_sets)]

    def step(number: int) -> None:
        model.zero_grad()
        for index, group in enumerate(groups):
            losses = model.loss(data["inputs"][group], [data["data_samples"][image] for image in group])
            ((0.1 + index) * total(losses)).backward()

    return step


def step_by_image(arch: Architecture, images: int) -> Step:
    """Another alternative: the features are computed once, the heads' losses image by image."""
    model = detector(arch, weighted=False)
    data = make_batch(model, images=images, size=SIZE)
    extract = model.extract_feat

    def step(number: int) -> None:
        model.zero_grad()
        features = extract(data["inputs"])
        loss = torch.zeros(())
        for image in range(images):
            model.extract_feat = lambda inputs, image=image: tuple(level[image : image + 1] for level in features)
            loss = loss + (0.1 + image) * total(model.loss(data["inputs"][image : image + 1], [data["data_samples"][image]]))
        loss.backward()

    return step


def interleaved(variants: dict[str, Step], steps: int) -> dict[str, list[float]]:
    """The seconds of each step of each variant, in random order."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-2, steps):
        for name in random.sample(list(variants), len(variants)):
            torch.manual_seed(number + 2)
            start = time.perf_counter()
            variants[name](number + 2)
            if number >= 0:  # the first two warm up
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(of: list[float], over: list[float]) -> str:
    """The ratio of medians and its 95 % bootstrap interval, with steps resampled in pairs."""
    turns = list(zip(of, over))
    drawn = sorted(
        statistics.median(a for a, _ in sample) / statistics.median(b for _, b in sample)
        for sample in (random.choices(turns, k=len(turns)) for _ in range(1000))
    )
    return f"{statistics.median(of) / statistics.median(over):.3f} ({drawn[25]:.3f} to {drawn[974]:.3f})"


def peak_memory(make_step: Callable[..., Step], *arguments: Any) -> float:
    """The peak resident memory, in MiB, of a process that runs three steps."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_measure, args=(sending, make_step, arguments))
    process.start()
    process.join()
    return float(receiving.recv())


def _measure(sending: Any, make_step: Callable[..., Step], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    step = make_step(*arguments)
    for number in range(3):
        step(number)
    sending.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps and batches of 2 and 8 only")
    parser.add_argument("--steps", type=int, default=0, help="steps of each variant (default: 25, quick: 5)")
    options = parser.parse_args()
    steps = options.steps or (5 if options.quick else 25)
    batches = BATCHES[:2] if options.quick else BATCHES
    torch.set_num_threads(1)
    random.seed(0)

    print(f"Step time, weighted divided by stock (95 % interval), by number of data sets; {steps} steps, images of {SIZE} px\n")
    print("| detector | images | stock step | " + " | ".join(f"{count} data sets" for count in DATA_SETS) + " | peak memory |")
    print("|---|---|---|" + "---|" * (len(DATA_SETS) + 1))
    for name in MODELS:
        arch = architecture(name)
        for images in batches:
            memory = peak_memory(step_of, arch, images, 8) / peak_memory(step_of, arch, images, 0)
            variants = {str(count): step_of(arch, images, count) for count in (0, *DATA_SETS)}
            seconds = interleaved(variants, steps)
            cells = [ratio(seconds[str(count)], seconds["0"]) for count in DATA_SETS]
            stock = f"{1000 * statistics.median(seconds['0']):.0f} ms"
            print(f"| {name} | {images} | {stock} | " + " | ".join(cells) + f" | {memory:.3f} |", flush=True)

    print("\nAlternatives without the library, 8 images, divided by stock\n")
    print("| detector | headweights | pass per data set, 2 | 4 | 8 data sets | loss per image |")
    print("|---|---|---|---|---|---|")
    for name in ("faster-rcnn", "retinanet", "mask-rcnn"):
        arch = architecture(name)
        variants = {"stock": step_of(arch, 8, 0), "headweights": step_of(arch, 8, 8)}
        variants.update({str(count): step_by_data_set(arch, 8, count) for count in (2, 4, 8)})
        variants["image"] = step_by_image(arch, 8)
        seconds = interleaved(variants, steps)
        cells = [ratio(seconds[variant], seconds["stock"]) for variant in ("headweights", "2", "4", "8", "image")]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

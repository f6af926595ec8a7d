"""Measures the cost of weighting: what a training step does and how long it takes, weighted beside stock.

    .venv/bin/python benchmarks/overhead.py [--quick] [--only DETECTOR ...] [--tables counts times alternatives] [--added]

The detectors are mmdetection's and transformers' own, of full depth with few channels, on random images. A step is a forward and
a backward pass. The images are from 1, 8 or 1000 data sets, each with a weight of its own in every loss.

counts: the operators that a step dispatches, the bytes that it allocates, and its calls that would wait for a GPU; see
counting.py. They depend on the depth of a detector, not on its width, and do not vary. A row lists the numbers of data sets for
which they are the same. --added prints the operators that weighting adds and removes.

times: the CPU time and the peak memory of a step in one thread, weighted divided by stock. CPU time leaves out what other
processes take. The variants of a row run in one process, step by step in random order. A ratio is that of the medians, with a
95 % bootstrap interval. Narrow detectors make the test hard, since weighting takes the same time in a full-width detector, but
a step takes much longer. Peak memory is measured in a separate process for each variant.

alternatives: the CPU time of a step that weighs 8 images without the library, with a forward and a backward pass for each data
set in the batch, or a loss for each image.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import torch
from counting import Counted
from steps.alternatives import loss_per_image, pass_per_data_set
from steps.detector import SIZE, Detector, Step
from steps.mmdet import MMDetDetector
from steps.transformers import TransformersDetector

DETECTORS: dict[str, Detector] = {
    **{name: MMDetDetector(name) for name in ("faster-rcnn", "retinanet", "fcos", "dino", "mask-rcnn", "rtmdet")},
    **{name: TransformersDetector(name) for name in ("rt-detr", "d-fine", "detr")},
}
COMPARED = ("faster-rcnn", "retinanet", "mask-rcnn")  # with the alternatives
BATCHES = (2, 8)
DATA_SETS = (1, 8, 1000)


# --- counts ---


def counted(step: Step) -> Counted:
    """Counts the second step: the first one also computes what is kept."""
    for number in range(2):
        torch.manual_seed(0)
        with Counted() as counts:
            step(number)
    return counts


def print_counts(detectors: Sequence[Detector], added: bool) -> None:
    print("\nA training step, weighted beside stock: operators, MB allocated, and calls that wait for the device\n")
    columns = ["framework", "detector", "images", "data sets", "operators: stock", "weighted", "ratio"]
    columns += ["MB: stock", "weighted", "ratio", "waits: stock", "weighted"]
    print(f"| {' | '.join(columns)} |")
    print("|" + "---|" * len(columns))
    differences = {}
    for detector in detectors:
        for images in BATCHES:
            stock = counted(detector.stock(images))
            weighted = {data_sets: counted(detector.weighted(images, data_sets)) for data_sets in DATA_SETS}
            for cells, data_sets in grouped({data_sets: cells_of(stock, counts) for data_sets, counts in weighted.items()}):
                shown = ", ".join(map(str, data_sets))
                print(f"| {detector.framework} | {detector.name} | {images} | {shown} | {cells} |", flush=True)
            differences[f"{detector.name}, {images} images"] = difference(weighted[DATA_SETS[-1]].operators, stock.operators)
    if added:
        print("\nOperators that weighting adds and removes\n")
        for row, operators in differences.items():
            print(f"- {row}: {operators}")


def difference(weighted: Counter[str], stock: Counter[str]) -> str:
    """The operators that the weighted step calls more often (+) or less often (-), the most frequent first."""
    more = Counter(weighted)
    more.subtract(stock)
    return ", ".join(f"{name} {count:+}" for name, count in more.most_common() if count)


def cells_of(stock: Counted, weighted: Counted) -> str:
    """The cells of a row: each count of the stock step and of the weighted one, and their ratio."""
    operators, more_operators = stock.operators.total(), weighted.operators.total()
    return " | ".join(
        [
            f"{operators} | {more_operators} | {more_operators / operators:.4f}",
            f"{stock.bytes / 1e6:.1f} | {weighted.bytes / 1e6:.1f} | {weighted.bytes / stock.bytes:.4f}",
            f"{stock.waits.total()} | {weighted.waits.total()}",
        ]
    )


def grouped(cells: Mapping[int, str]) -> list[tuple[str, list[int]]]:
    """The numbers of data sets that have the same cells, with these."""
    return [(same, [data_sets for data_sets, of in cells.items() if of == same]) for same in dict.fromkeys(cells.values())]


# --- times ---


def interleaved(variants: dict[str, Step], steps: int) -> dict[str, list[float]]:
    """The CPU seconds of each step of each variant, in random order."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-2, steps):
        for name in random.sample(list(variants), len(variants)):
            torch.manual_seed(number + 2)
            start = time.process_time()
            variants[name](number + 2)
            if number >= 0:  # the first two warm up
                seconds[name].append(time.process_time() - start)
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


def print_times(detectors: Sequence[Detector], steps: int) -> None:
    print(f"\nCPU time, weighted divided by stock (95 % interval), by number of data sets; {steps} steps, images of {SIZE} px\n")
    counts = " | ".join(f"{count} data sets" for count in DATA_SETS)
    print(f"| framework | detector | images | stock step | {counts} | peak memory |")
    print("|---|---|---|---|" + "---|" * (len(DATA_SETS) + 1))
    for detector in detectors:
        for images in BATCHES:
            memory = peak_memory(detector.weighted, images, 8) / peak_memory(detector.stock, images)
            variants = {"stock": detector.stock(images)}
            variants.update({str(count): detector.weighted(images, count) for count in DATA_SETS})
            seconds = interleaved(variants, steps)
            cells = [ratio(seconds[str(count)], seconds["stock"]) for count in DATA_SETS]
            stock = f"{1000 * statistics.median(seconds['stock']):.0f} ms"
            row = [detector.framework, detector.name, str(images), stock, *cells, f"{memory:.3f}"]
            print(f"| {' | '.join(row)} |", flush=True)


def print_alternatives(detectors: Sequence[Detector], steps: int) -> None:
    print("\nAlternatives without the library, 8 images, divided by stock\n")
    print("| detector | headweights | pass per data set, 2 | 4 | 8 data sets | loss per image |")
    print("|---|---|---|---|---|---|")
    for detector in detectors:
        if not isinstance(detector, MMDetDetector) or detector.name not in COMPARED:
            continue
        variants = {"stock": detector.stock(8), "headweights": detector.weighted(8, 8)}
        variants.update({str(count): pass_per_data_set(detector, 8, count) for count in (2, 4, 8)})
        variants["image"] = loss_per_image(detector, 8)
        seconds = interleaved(variants, steps)
        cells = [ratio(seconds[variant], seconds["stock"]) for variant in ("headweights", "2", "4", "8", "image")]
        print(f"| {detector.name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = ("counts", "times", "alternatives")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables, help="which tables to print (default: all)")
    parser.add_argument("--only", nargs="+", choices=DETECTORS, default=list(DETECTORS), help="which detectors (default: all)")
    parser.add_argument("--added", action="store_true", help="print the operators that weighting adds to each step")
    parser.add_argument("--quick", action="store_true", help="few timed steps")
    parser.add_argument("--steps", type=int, default=0, help="timed steps of each variant (default: 25, quick: 5)")
    options = parser.parse_args()
    steps = options.steps or (5 if options.quick else 25)
    detectors = [DETECTORS[name] for name in options.only]
    torch.set_num_threads(1)
    random.seed(0)
    if "counts" in options.tables:
        print_counts(detectors, options.added)
    if "times" in options.tables:
        print_times(detectors, steps)
    if "alternatives" in options.tables:
        print_alternatives(detectors, steps)


if __name__ == "__main__":
    main()

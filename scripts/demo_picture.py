"""Runs the demo and makes two images for the README: docs/demo.svg, its output, and docs/demo.jpg, tiles and detections.

.venv/bin/python scripts/demo_picture.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.text import Text

from headweights.demo.run import run_demo

ROOT = Path(__file__).resolve().parents[1]
WORK_DIR = ROOT / "work_dirs" / "demo"
PANEL = 300
HUMAN, FOUND = (80, 220, 255), (90, 255, 90)


def annotated(data_set: str) -> tuple[dict[str, Any], list[list[float]]]:
    """The image of a data set with the most boxes, and its boxes (x, y, width, height)."""
    content = json.loads((WORK_DIR / "data" / data_set / "annotations.json").read_text())
    boxes: dict[int, list[list[float]]] = {image["id"]: [] for image in content["images"]}
    for row in content["annotations"]:
        if not row["iscrowd"]:
            boxes[row["image_id"]].append(row["bbox"])
    image = max(content["images"], key=lambda image: len(boxes[image["id"]]))
    return image, boxes[image["id"]]


def found(run: str, image: dict[str, Any], number: int) -> list[list[float]]:
    """The most confident detections of a run in a held-out image, as many as there are annotated boxes."""
    rows = json.loads((WORK_DIR / run / "held_out.bbox.json").read_text())
    rows = sorted((row for row in rows if row["image_id"] == image["id"]), key=lambda row: -row["score"])
    return [row["bbox"] for row in rows[:number]]


def panel(data_set: str, image: dict[str, Any], boxes: list[list[float]], colour: tuple[int, int, int], title: str) -> np.ndarray:
    """An image with boxes, and a title above it."""
    picture = cv2.imread(str(WORK_DIR / "data" / data_set / "images" / image["file_name"]))
    scale = PANEL / picture.shape[1]
    picture = cv2.resize(picture, (PANEL, PANEL), interpolation=cv2.INTER_CUBIC)
    for x, y, width, height in boxes:
        corners = [round(value * scale) for value in (x, y, x + width, y + height)]
        cv2.rectangle(picture, tuple(corners[:2]), tuple(corners[2:]), colour, 2)
    heading = np.full((34, PANEL, 3), 255, np.uint8)
    cv2.putText(heading, title, (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([heading, picture])


def main() -> None:
    console = Console(record=True, width=92)
    run_demo(console, iters=450, seed=0, work_dir=WORK_DIR)
    # Keep the tables, without the progress above and the paths below.
    lines = console.export_text(styles=True).splitlines()
    end = next(number for number, line in enumerate(lines) if "config " in line and str(WORK_DIR) in line) - 1
    skipped = (": iteration ", " left ", "Replacing ")
    lines = [line for line in lines[:end] if not any(words in line for words in skipped)]
    tables = Console(record=True, width=92)
    tables.print(Text.from_ansi("\n".join(lines)))
    tables.save_svg(str(ROOT / "docs" / "demo.svg"), title="headweights demo")
    show_tiles()


def show_tiles() -> None:
    """Writes docs/demo.jpg from the last run of the demo."""
    held_out, truth = annotated("held_out")
    panels = [
        panel("real", *annotated("real"), HUMAN, "real, training"),
        panel("rendered", *annotated("rendered"), HUMAN, "rendered, training"),
        panel("held_out", held_out, truth, HUMAN, "held out, drawn by people"),
        panel("held_out", held_out, found("unweighted", held_out, len(truth)), FOUND, "found, unweighted"),
        panel("held_out", held_out, found("weighted", held_out, len(truth)), FOUND, "found, weighted"),
    ]
    gap = np.full((panels[0].shape[0], 8, 3), 255, np.uint8)
    row = np.hstack([part for one in panels for part in (one, gap)][:-1])
    cv2.imwrite(str(ROOT / "docs" / "demo.jpg"), row, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()

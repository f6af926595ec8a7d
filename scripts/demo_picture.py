"""Runs the demo and makes the pictures of the README: docs/demo.svg (its output), docs/demo.jpg and docs/report.png.

.venv/bin/python scripts/demo_picture.py

The last one needs Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.text import Text

from headweights.demo.demos import DEMOS
from headweights.demo.run import PICTURE, REPORT, run_demo

ROOT = Path(__file__).resolve().parents[1]
DOCS, WORK_DIR = ROOT / "docs", ROOT / "work_dirs" / "demo" / "digits"
# Columns of the output; pixels of a half of the report.
WIDTH, WINDOW = 92, "800,760"


def main() -> None:
    console = Console(record=True, width=WIDTH)
    run_demo(console, DEMOS["digits"], seed=0, work_dir=WORK_DIR)
    write_output(console.export_text(styles=True))
    shutil.copy(WORK_DIR / PICTURE, DOCS / "demo.jpg")
    write_screenshot(WORK_DIR / REPORT, DOCS / "report.png")


def write_output(text: str) -> None:
    """Writes docs/demo.svg: the output without the progress and the paths."""
    lines = text.splitlines()
    end = next(number for number, line in enumerate(lines) if "config " in line and str(WORK_DIR) in line) - 1
    skipped = (": iteration ", " left ", "Replacing ")
    lines = [line for line in lines[:end] if not any(words in line for words in skipped)]
    tables = Console(record=True, width=WIDTH)
    tables.print(Text.from_ansi("\n".join(lines).rstrip()))
    tables.save_svg(str(DOCS / "demo.svg"), title="headweights demo")


def write_screenshot(page: Path, out: Path) -> None:
    """Writes a picture of the report: its top, and beside it the losses."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit(f"no Chromium on this machine (Debian: apt-get install chromium): {out} was not made")
    # A virtual time in which the charts are drawn.
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=20000"]
    halves = []
    with tempfile.TemporaryDirectory() as folder:
        for anchor in ("", "#losses"):
            half = Path(folder) / "half.png"
            shot = [f"--window-size={WINDOW}", f"--screenshot={half}", f"--user-data-dir={folder}/profile"]
            subprocess.run([browser, *options, *shot, page.as_uri() + anchor], check=True, capture_output=True)
            halves.append(cv2.imread(str(half)))
    cv2.imwrite(str(out), np.hstack(halves))


if __name__ == "__main__":
    main()

"""Runs the demo and makes the pictures of the README: docs/demo.svg (its output), docs/demo.jpg and docs/report.png.

.venv/bin/python scripts/demo_picture.py

The last one needs Chromium.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.text import Text
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from headweights.demo.demos import DEMOS
from headweights.demo.run import PICTURE, REPORT, run_demo

ROOT = Path(__file__).resolve().parents[1]
DOCS, WORK_DIR = ROOT / "docs", ROOT / "work_dirs" / "demo" / "digits"
# Columns of the output; pixels of a half of the report.
WIDTH, WINDOW = 92, "800,1160"


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


def write_screenshot(report: Path, out: Path) -> None:
    """Writes a picture of the report: its top, and beside it the losses."""
    browser, driver_path = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if browser is None or driver_path is None:
        raise SystemExit(f"no Chromium on this machine (Debian: apt-get install chromium chromium-driver): {out} was not made")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        # Paths as a reader has them.
        page.write_text(report.read_text(encoding="utf-8").replace(f"{WORK_DIR}/", ""), encoding="utf-8")
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WINDOW}"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=Service(driver_path))
        try:
            driver.get(page.as_uri())
            halves = [driver.get_screenshot_as_png()]
            driver.execute_script("document.getElementById('losses').scrollIntoView()")
            # Charts are drawn when they come into view.
            WebDriverWait(driver, 60).until(
                lambda d: d.find_elements(By.CSS_SELECTOR, "#losses .js-plotly-plot .scatterlayer path")
            )
            time.sleep(5)
            halves.append(driver.get_screenshot_as_png())
        finally:
            driver.quit()
    images = [cv2.imdecode(np.frombuffer(half, np.uint8), cv2.IMREAD_COLOR) for half in halves]
    cv2.imwrite(str(out), np.hstack(images))


if __name__ == "__main__":
    main()

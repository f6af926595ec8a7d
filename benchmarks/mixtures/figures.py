"""Draws Plotly's figures into SVG files with a headless Chromium."""

from __future__ import annotations

import shutil
import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go

_DRAW = """
    const done = arguments[arguments.length - 1];
    const plot = document.querySelector(".js-plotly-plot");
    Plotly.toImage(plot, {format: "svg"}).then(done, (error) => done("error: " + error));
"""


def draw(figures: Mapping[str, go.Figure], folder: Path) -> str | None:
    """Writes `folder`/<name>.svg for each figure. Without a Chromium, returns a message instead."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver_path = shutil.which("chromedriver")
    if browser is None or driver_path is None:
        return "no Chromium on this machine (Debian: apt-get install chromium chromium-driver): the figures were not drawn."
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory() as scratch:
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={scratch}/profile"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=Service(driver_path))
        try:
            for name, figure in figures.items():
                page = Path(scratch) / f"{name}.html"
                figure.write_html(page, include_plotlyjs=True)
                driver.get(page.as_uri())
                image = driver.execute_async_script(_DRAW)
                kind, _, content = image.partition(",")
                if not kind.startswith("data:image/svg+xml"):
                    raise RuntimeError(f"{name} could not be drawn: {image[:200]}")
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}.svg").write_text(urllib.parse.unquote(content), encoding="utf-8")
        finally:
            driver.quit()
    return None

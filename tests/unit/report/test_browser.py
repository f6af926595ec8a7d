"""The report in a real browser, headless and without a network: what a reader sees and does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from support.logs import VENDOR, write_pictures, write_run

from headweights.report.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "no Chromium on this machine (Debian: apt-get install chromium chromium-driver): the report was not opened in a browser"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING),
]

# As a browser starts for nobody in particular, and finds no host by any name.
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# Of each chart the number of points of each curve that is shown; null for a chart that is not drawn.
POINTS = """
    return [...document.querySelectorAll(".plot")].map((plot) =>
        plot.calcdata?.filter((curve) => curve[0].trace.visible === true)
            .map((curve) => curve.filter((point) => point.y !== undefined).length) ?? null)
"""
WIDE, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, trainer_runs: Path) -> dict[str, Path]:
    """One run; two side by side; one of mmdetection beside one of the Trainer; a cut and damaged log without a record."""
    folder = tmp_path_factory.mktemp("runs")
    samples = write_pictures(folder / "pictures")
    write_run(folder / "weighted", samples)
    write_run(folder / "unweighted", samples, roi_weight=1, scheduled=False, seed=1)
    vis_data = write_run(folder / "cut", {})
    (vis_data / "headweights.json").write_text('{"version": 1, "datas')
    log = (vis_data / "scalars.json").read_bytes()
    (vis_data / "scalars.json").write_bytes(b'{"loss": "\xff\n' + log[:-200])
    return {
        "one": write_report([folder / "weighted"], folder / "one.html"),
        "two": write_report([folder / "unweighted", folder / "weighted"], folder / "two.html"),
        "both": write_report([folder / "weighted", trainer_runs / "finished"], folder / "both.html"),
        "cut": write_report([folder / "cut"], folder / "cut.html"),
    }


def show(browser: webdriver.Chrome, page: Path, size: tuple[int, int] = WIDE, theme: str = "light") -> None:
    """Opens a page anew, as if for the first time."""
    browser.get_log("browser")
    device = dict(width=size[0], height=size[1], deviceScaleFactor=1, mobile=size == PHONE)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
    browser.get(page.as_uri())
    browser.execute_script("try { localStorage.clear() } catch {}")
    browser.refresh()


def scroll_through(browser: webdriver.Chrome) -> None:
    """Opens what is folded away and passes every chart, until all are drawn."""
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    for plot in browser.find_elements(By.CSS_SELECTOR, ".plot"):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
        WebDriverWait(browser, 30, poll_frequency=0.02).until(
            lambda _, plot=plot: browser.execute_script("return Boolean(arguments[0].calcdata)", plot)
        )


def colour_of(browser: webdriver.Chrome, name: str) -> list[int]:
    """Red, green, blue of a CSS variable in the theme of now."""
    script = """
        const probe = document.body.appendChild(document.createElement("i"));
        probe.style.color = `var(--${arguments[0]})`;
        const colour = getComputedStyle(probe).color;
        probe.remove();
        return colour;
    """
    return [int(value) for value in re.findall(r"\d+", browser.execute_script(script, name))[:3]]


def contrast(one: list[int], other: list[int]) -> float:
    """WCAG 2's contrast ratio."""

    def luminance(colour: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["one", "two", "both", "cut"])
def test_every_chart_has_points_and_the_console_is_silent(browser: webdriver.Chrome, pages: dict[str, Path], page: str) -> None:
    show(browser, pages[page])
    scroll_through(browser)
    points = browser.execute_script(POINTS)
    assert len(points) == len(browser.find_elements(By.CSS_SELECTOR, ".chart")) > 20
    for chart in points:
        assert chart
        assert min(chart) > 0
    assert browser.get_log("browser") == []


def test_a_cut_log_says_what_is_missing(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["cut"])
    text = browser.find_element(By.CSS_SELECTOR, ".missing").text
    assert "the last line is cut off" in text
    assert "not a JSON object with a step: 1." in text
    assert "headweights.json is not JSON" in text
    # The weights are still known, from the log.
    assert "as last logged" in browser.find_element(By.ID, "weights").text


def test_nothing_is_asked_of_a_network(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["two"])
    scroll_through(browser)
    requests = "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:'))"
    assert browser.execute_script(requests) == []
    fetched = browser.execute_async_script(
        "fetch('https://example.org').then(() => arguments[0]('fetched'), () => arguments[0]('refused'))"
    )
    assert fetched == "refused"
    # Not for want of a network: the page's own policy forbids it.
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))
    # Plotly's own buttons, one of which would send the data away.
    assert browser.execute_script("return document.querySelectorAll('.modebar-btn').length") == 0


def visible(browser: webdriver.Chrome) -> dict[str, Any]:
    """The data sets whose curves, rows and pictures can be seen, by number."""
    return browser.execute_script("""
        const { charts } = JSON.parse(document.getElementById("data").textContent);
        const curves = new Set();
        document.querySelectorAll(".chart").forEach((figure) =>
            figure.querySelector(".plot").data.forEach((trace, n) => {
                if (trace.visible === true) charts[figure.dataset.chart].traces[n].datasets.forEach((d) => curves.add(d));
            }));
        const seen = (selector) => [...document.querySelectorAll(selector)]
            .filter((e) => e.checkVisibility()).flatMap((e) => e.dataset.datasets.split(" ")).filter(Boolean).map(Number);
        return { curves: [...curves].sort(), rows: [...new Set(seen("tr[data-datasets]"))].sort(),
                 pictures: [...new Set(seen("article[data-datasets]"))].sort(), warnings: seen(".warning li").length };
    """)


def test_a_data_set_is_switched_off_everywhere(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["two"])
    scroll_through(browser)
    all_three = {"curves": [0, 1, 2], "rows": [0, 1, 2], "pictures": [0, 1, 2]}
    assert visible(browser).items() >= all_three.items()
    assert visible(browser)["warnings"] > 0
    chip = browser.find_element(By.CSS_SELECTOR, ".chip[data-kind=dataset][data-number='1']")
    assert (chip.tag_name, chip.text, chip.get_attribute("aria-pressed")) == ("button", "rendered", "true")
    chip.click()
    assert chip.get_attribute("aria-pressed") == "false"
    # Its cosines with the others go too, and the sentence about them.
    assert visible(browser) == {"curves": [0, 2], "rows": [0, 2], "pictures": [0, 2], "warnings": 0}
    assert not browser.find_element(By.CSS_SELECTOR, ".warning").is_displayed()
    chip.send_keys(Keys.SPACE)
    assert chip.get_attribute("aria-pressed") == "true"
    assert visible(browser).items() >= all_three.items()
    assert browser.get_log("browser") == []


def test_a_chart_drawn_later_knows_what_is_off(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["one"])
    browser.find_element(By.CSS_SELECTOR, ".chip[data-kind=dataset][data-number='0']").click()
    scroll_through(browser)
    assert visible(browser)["curves"] == [1, 2]


def test_a_run_is_switched_off(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["two"])
    scroll_through(browser)
    browser.find_element(By.CSS_SELECTOR, ".chip[data-kind=run][data-number='0']").click()
    runs = """
        const { charts } = JSON.parse(document.getElementById("data").textContent);
        const shown = [...document.querySelectorAll(".chart")].flatMap((figure) =>
            figure.querySelector(".plot").data.map((trace, n) =>
                trace.visible === true ? charts[figure.dataset.chart].traces[n].run : "off"));
        return [...new Set(shown)].sort();
    """
    assert browser.execute_script(runs) == [1, "off"]
    tables = browser.find_elements(By.CSS_SELECTOR, "#weights > details")
    assert [table.is_displayed() for table in tables] == [False, True]


@pytest.mark.parametrize("page", ["one", "two", "both", "cut"])
def test_a_phone_scrolls_one_way(browser: webdriver.Chrome, pages: dict[str, Path], page: str) -> None:
    show(browser, pages[page], PHONE)
    scroll_through(browser)
    assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    # What is wider scrolls in its own box; a chart is as wide as there is room.
    tables = "return [...document.querySelectorAll('table')].map(t => t.parentElement.getBoundingClientRect().right)"
    assert all(right <= 390 for right in browser.execute_script(tables))
    plots = "return [...document.querySelectorAll('.main-svg')].map(s => s.getBoundingClientRect().right)"
    assert all(right <= 390 for right in browser.execute_script(plots))
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_many_runs_of_long_names_stay_inside_the_page(browser: webdriver.Chrome, tmp_path: Path, size: tuple[int, int]) -> None:
    folders = [tmp_path / f"a_long_name_without_a_space_of_the_run_number_{number}_of_an_evening" for number in range(7)]
    for number, folder in enumerate(folders):
        write_run(folder, {}, steps=(100, 200), seed=number)
    show(browser, write_report(folders, tmp_path / "report.html"), size)
    assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    # The title takes three lines at most, and the verdict is on the first screen or the second.
    assert browser.find_element(By.TAG_NAME, "h1").rect["height"] < 100
    assert browser.find_element(By.CSS_SELECTOR, ".verdict").rect["y"] < size[1]
    # Every run has its own look, in the charts as in the buttons.
    figure = browser.find_element(By.CSS_SELECTOR, "#validation .chart")
    browser.execute_script("arguments[0].scrollIntoView()", figure)
    looks = """
        const plot = arguments[0].querySelector(".plot");
        return plot.data?.map((trace) => trace.line.dash + " " + trace.marker.symbol);
    """
    found = WebDriverWait(browser, 30, poll_frequency=0.02).until(lambda _: browser.execute_script(looks, figure))
    assert len(set(found)) == len(folders)
    shapes = "return [...document.querySelectorAll('.chip .dash path')].map(path => path.getAttribute('d'))"
    assert len(set(browser.execute_script(shapes))) == len(folders)


def test_a_chart_follows_the_width(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["one"])
    scroll_through(browser)
    device = dict(width=700, height=900, deviceScaleFactor=1, mobile=False)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    fits = """
        return [...document.querySelectorAll(".plot")].every((plot) =>
            Math.abs(plot.querySelector(".main-svg").getBoundingClientRect().width - plot.clientWidth) < 2)
    """
    WebDriverWait(browser, 30, poll_frequency=0.02).until(lambda _: browser.execute_script(fits))


def test_two_themes_and_a_choice_that_stays(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    text_of_chart = "return document.querySelector('.plot').layout.font.color"
    seen = {}
    for theme in ("light", "dark"):
        show(browser, pages["one"], theme=theme)
        scroll_through(browser)
        seen[theme] = (colour_of(browser, "page"), browser.execute_script(text_of_chart))
    assert sum(seen["light"][0]) > 700
    assert sum(seen["dark"][0]) < 100
    assert seen["light"][1] != seen["dark"][1]
    # From the system's dark to light by hand: at once, in the charts too, and after the page is opened again.
    browser.find_element(By.ID, "theme").click()
    assert (colour_of(browser, "page"), browser.execute_script(text_of_chart)) == seen["light"]
    browser.refresh()
    assert colour_of(browser, "page") == seen["light"][0]
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_stands_out_from_what_is_behind_it(browser: webdriver.Chrome, pages: dict[str, Path], theme: str) -> None:
    show(browser, pages["one"], theme=theme)
    for behind in ("page", "panel"):
        for text in ("text", "muted", "link"):
            assert contrast(colour_of(browser, text), colour_of(browser, behind)) >= 4.5, (text, behind)
        for number in range(8):
            assert contrast(colour_of(browser, f"d{number}"), colour_of(browser, behind)) >= 3, (number, behind)


def test_the_boxes_lie_on_their_pictures(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["one"])
    sizes = """
        return [...document.querySelectorAll(".overlay")].map((overlay) =>
            [overlay.querySelector("img"), overlay.querySelector("svg")].map((e) => [e.clientWidth, e.clientHeight]))
    """
    overlays = browser.execute_script(sizes)
    assert len(overlays) == 6
    assert all(picture == boxes and min(picture) > 100 for picture, boxes in overlays)
    # Of the set with weights of its own, what counts more is drawn stronger.
    weights = """
        return [...document.querySelectorAll("article:last-of-type g")].map((box) =>
            [Number(box.textContent.split("weight ")[1]), Number(box.getAttribute("opacity"))])
    """
    pairs = sorted(browser.execute_script(weights))
    assert len({weight for weight, _ in pairs}) > 3
    assert [opacity for _, opacity in pairs] == sorted(opacity for _, opacity in pairs)


def test_the_data_is_what_was_logged(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["one"])
    scroll_through(browser)
    logged = pages["one"].parent / "weighted" / "20260101_120000" / "vis_data" / "scalars.json"
    lines = [json.loads(line) for line in logged.read_text().splitlines()]
    expected = {
        line["step"]: line["raw_loss/roi_head.loss_cls/real"] for line in lines if "raw_loss/roi_head.loss_cls/real" in line
    }
    script = """
        const figure = [...document.querySelectorAll(".chart")].find((f) => f.textContent.startsWith("roi_head.loss_cls, raw"));
        const trace = figure.querySelector(".plot").data[0];
        return [trace.name, [...trace.x], [...trace.y]];
    """
    name, x, y = browser.execute_script(script)
    assert name == "real"
    assert dict(zip(x, y, strict=True)) == pytest.approx(expected, rel=1e-4)


def test_a_name_is_shown_as_it_is(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    """Plotly takes a name for markup, and this one holds what looks like some."""
    show(browser, pages["one"])
    scroll_through(browser)
    hover = """
        const plot = document.querySelector(".plot");
        Plotly.Fx.hover(plot, [{ curveNumber: 2, pointNumber: 3 }], ["xy"]);
        return plot.querySelector(".hoverlayer").textContent;
    """
    assert VENDOR in browser.execute_script(hover)
    assert VENDOR in [chip.text for chip in browser.find_elements(By.CSS_SELECTOR, ".chip")]

"""The site builds: no broken link, no page outside the navigation, and the reference has every public name."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as by `make docs`."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


def pages(site: Path) -> dict[str, str]:
    return {path.relative_to(site).as_posix(): path.read_text() for path in site.glob("**/*.html") if path.stem != "404"}


@pytest.mark.slow
def test_the_site_loads_nothing_from_the_network(site: Path) -> None:
    for name, page in pages(site).items():
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\bsrc=\"?(https?:[^\" >]+)", page)
        loaded += re.findall(r"<link[^>]*\brel=\"?(?:stylesheet|preconnect|preload)[^>]*\bhref=\"?(https?:[^\" >]+)", page)
        assert not loaded, name


@pytest.mark.slow
def test_links_out_of_docs_lead_to_pages_of_the_site(site: Path) -> None:
    """The source of a page links to a file of the repository, the site to the page of that file."""
    assert "(../examples/transformers/train.py)" in (ROOT / "docs" / "transformers.md").read_text()
    assert 'href="examples/transformers/train.py.html"' in pages(site)["transformers.html"]
    assert "def small_rt_detr" in re.sub(r"<[^>]*>", "", pages(site)["examples/transformers/train.py.html"])


@pytest.mark.slow
def test_docstrings_are_rendered(site: Path) -> None:
    """As text with links, without the markup of Sphinx."""
    for name, page in pages(site).items():
        assert not re.search(r":(?:class|func|meth|mod):|\.\. code::", page), name
    assert "scaled to a mean of 1 over the mix" in pages(site)["reference/mmdet.html"]


@pytest.mark.parametrize("module", ["headweights", "headweights.mmdet", "headweights.transformers", "headweights.search"])
def test_the_reference_has_every_public_name(module: str) -> None:
    page = REFERENCE / f"{module.rpartition('.')[2]}.md"
    entries = re.findall(r"^::: (\S+)", page.read_text(), flags=re.MULTILINE)
    exported = importlib.import_module(module)
    names = getattr(exported, "__all__", None) or [n for n, value in vars(exported).items() if n[0].isupper() or n == "screen"]
    assert {entry.rpartition(".")[2] for entry in entries} == set(names)

"""The notebooks of examples/ run from the first cell to the last, and say what their text says."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


# The length of the trainings in a notebook, and one that is enough for a test.
SHORTER = {"mmdetection": ("=60", "=20"), "transformers": ("max_steps=100", "max_steps=40")}


def notebook(framework: str) -> nbformat.NotebookNode:
    return nbformat.read(EXAMPLES / f"{framework}.ipynb", as_version=4)


def shortened(framework: str) -> nbformat.NotebookNode:
    book = notebook(framework)
    long, short = SHORTER[framework]
    (cell,) = (cell for cell in book.cells if cell.cell_type == "code" and long in cell.source)
    cell.source = cell.source.replace(long, short)
    return book


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is written beside the notebooks, and no setting of a user's Jupyter counts."""
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("framework", ["mmdetection", "transformers"])
def test_a_notebook_in_git_has_no_outputs(framework: str) -> None:
    cells = [cell for cell in notebook(framework).cells if cell.cell_type == "code"]
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two trainings: a minute on an idle core, many beside other work
@pytest.mark.parametrize("framework", ["mmdetection", "transformers"])
def test_a_notebook_runs_and_the_weights_show_in_the_log(framework: str, own_home: Path) -> None:
    ran = NotebookClient(shortened(framework), timeout=1500, resources={"metadata": {"path": str(own_home)}}).execute()
    printed = "\n".join(
        output.text for cell in ran.cells if cell.cell_type == "code" for output in cell.outputs if output.output_type == "stream"
    )
    lines = [line for line in printed.splitlines() if line.startswith("share of noisy")]
    shares = [[int(number) for number in re.findall(r"(\d+)%", line)] for line in lines]
    (classes_before, classes_after), (boxes_before, boxes_after) = shares
    assert classes_after < 0.6 * classes_before
    assert abs(boxes_after - boxes_before) < 15
    (report,) = re.findall(r"^/.*report\.html$", printed, flags=re.MULTILINE)
    assert Path(report).stat().st_size > 1_000_000

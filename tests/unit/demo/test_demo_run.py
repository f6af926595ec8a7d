"""The whole demo, in small, through mmengine's real `Runner`."""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from headweights.demo import config, data
from headweights.demo.run import run_demo


@pytest.mark.slow
def test_two_iterations_from_data_to_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "REAL_TILES", 8)
    monkeypatch.setattr(data, "RENDERED_TILES", 8)
    monkeypatch.setattr(config, "INTERVAL", 1)
    screen = io.StringIO()
    run_demo(Console(file=screen, width=160), iters=2, seed=3, work_dir=tmp_path / "run")
    text = screen.getvalue()

    # The data sets, as large as asked for and never empty.
    assert re.search(r"real *│ training *│.*│ *8 │ *\d\d", text)
    assert re.search(r"held_out *│ test *│.*│ *38 │ *345 ", text)

    # The runs: their precision, and files that are there.
    for name in ("unweighted", "weighted"):
        assert re.search(name + r" *(│ *[01]\.\d\d\d *){2}│", text)
    files = [Path(path) for path in re.findall(r"(?:config|log|checkpoint) +(/\S+)", text)]
    assert len(files) == 6
    assert all(path.is_file() for path in files)
    unweighted, weighted = (path.read_text() for path in files if path.suffix == ".py")
    assert "'LossWeightHook'" in unweighted and "5.5" not in unweighted
    assert "'LossWeightHook'" in weighted and "5.5" in weighted
    assert all((tmp_path / "run" / name / "held_out.bbox.json").is_file() for name in ("unweighted", "weighted"))
    (report,) = [Path(path) for path in re.findall(r"report (/\S+)", text)]
    assert "rendered" in report.read_text() and "plotly" in report.read_text().lower()
    # mmengine's own chatter stays off the screen and is kept.
    assert "Iter(train)" not in text
    assert "Average Precision" in (tmp_path / "run" / "screen.log").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_with_a_line_and_no_process_is_left(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", "from headweights.cli import main; main()", "demo", "--work-dir", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A group of its own, as a shell gives a command: Ctrl-C reaches all of it.
        start_new_session=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "held_out" in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    out, err = demo.communicate(timeout=300)
    assert demo.returncode == 130
    assert out.strip().splitlines()[-1] == "Stopped."
    assert "Traceback" not in out + err
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)

"""The whole demo, in small, through mmengine's real `Runner`."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from headweights.demo.crowns import data
from headweights.demo.demos import DEMOS
from headweights.demo.digits import digits, letters
from headweights.demo.processes import SCREEN_LOG
from headweights.demo.run import run_demo

UNWEIGHTED, WEIGHTED = RUNS = ("unweighted", "weighted")


def ran(name: str, folder: Path, iters: int) -> tuple[str, dict[str, str]]:
    """What a demo prints, and the configs of its runs. Its files are there."""
    screen = io.StringIO()
    run_demo(Console(file=screen, width=160), DEMOS[name], iters=iters, seed=3, work_dir=folder)
    text = screen.getvalue()
    files = [Path(path) for path in re.findall(r"(?:config|log|checkpoint|picture|report) +(/\S+)", text)]
    assert len(files) == 8
    assert all(path.is_file() for path in files)
    report = files[-1].read_text()
    assert "plotly" in report.lower() and DEMOS[name].target in report
    # mmengine's own chatter stays off the screen and is kept.
    assert "Iter(train)" not in text
    assert all("Average Precision" in (folder / run / SCREEN_LOG).read_text() for run in RUNS)
    return text, {run: (folder / run / getattr(DEMOS[name], run)).read_text() for run in RUNS}


@pytest.mark.slow
@pytest.mark.xdist_group("forked")
def test_digits_from_data_to_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "SIZES", {"clean": 4, "wrong_labels": 8, "wrong_boxes": 8})
    monkeypatch.setattr(digits, "HELD_OUT", {"validation": 1, "test": 25})  # with every digit
    monkeypatch.setattr(letters, "SCENES", 8)
    text, configs = ran("digits", tmp_path / "run", iters=1)

    # What is wrong with each data set, the block, what came out, in all and by class, what the study says.
    assert re.search(r"wrong_labels *│ training *│ boxes right, labels random *│ *8 │ *\d\d", text)
    assert 'wrong_labels={"roi_head.bbox_head.loss_cls": 0.1}' in text
    for row in ("mAP", "AP50", *(f"AP of {name}" for name in digits.CLASSES)):
        assert re.search(row + r" *(│ *[01]\.\d\d\d *){2}│", text)
    assert "5 of 5 seeds" in text

    assert all("'LossWeightHook'" in config for config in configs.values())
    assert "loss_cls" in configs[WEIGHTED] and "roi_head.bbox_head.loss_cls" not in configs[UNWEIGHTED]
    # Both runs start from the pretraining, which is three times as long.
    for run in RUNS:
        assert f"Load checkpoint from {tmp_path}/run/data/pretrained.pth" in (tmp_path / "run" / run / SCREEN_LOG).read_text()
    assert "pretraining: iteration 3 of 3" in text


@pytest.mark.slow
@pytest.mark.xdist_group("forked")
def test_crowns_from_data_to_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "REAL_TILES", 8)
    monkeypatch.setattr(data, "RENDERED_TILES", 8)
    monkeypatch.setattr(data, "HELD_OUT_PLACES", ("SOAP",))
    text, configs = ran("crowns", tmp_path / "run", iters=2)
    assert re.search(r"real *│ training *│.*│ *8 │ *\d\d", text)
    assert re.search(r"mAP *(│ *[01]\.\d\d\d *){2}│", text)
    assert "AP of" not in text
    assert "no effect that 5 seeds can tell" in text
    assert "'LossWeightHook'" in configs[UNWEIGHTED] and "5.5" not in configs[UNWEIGHTED]
    assert "'LossWeightHook'" in configs[WEIGHTED] and "5.5" in configs[WEIGHTED]


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
    # multiprocessing's tracker ends when it sees that the others have.
    while running_in(demo.pid):
        time.sleep(0.1)


def running_in(group: int) -> list[int]:
    """The processes of a group, without those that have ended and wait to be reaped."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found

"""Trainings in processes of their own: what goes wrong in one is told, and none is left."""

from pathlib import Path

import pytest
from rich.console import Console

from headweights.demo.job import Job
from headweights.demo.processes import SCREEN_LOG, TrainingError, follow, started
from headweights.demo.run import _progress_bar


@pytest.mark.slow
@pytest.mark.xdist_group("forked")
def test_an_error_is_told_with_the_name_of_the_run_and_its_log(tmp_path: Path) -> None:
    job = Job(tmp_path / "nowhere.py", tmp_path, tmp_path / "broken", iters=1, seed=0)
    with (
        started(job) as one,
        _progress_bar(Console(quiet=True)) as progress,
        pytest.raises(TrainingError, match=r"(?s)'broken' failed: FileNotFoundError: .*nowhere\.py.*screen\.log has its output"),
    ):
        follow([one], progress)
    assert "Traceback" in (tmp_path / "broken" / SCREEN_LOG).read_text()


@pytest.mark.xdist_group("forked")
def test_a_process_that_ends_is_told(tmp_path: Path) -> None:
    job = Job(tmp_path / "nowhere.py", tmp_path, tmp_path / "killed", iters=1, seed=0)
    with started(job) as one, _progress_bar(Console(quiet=True)) as progress:
        one.process.kill()
        one.process.join()
        with pytest.raises(TrainingError, match="'killed' failed: its process ended"):
            follow([one], progress)

"""Which reader a folder gets, and what is said of a folder that none reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.logs import write_run

from headweights import WeightError
from headweights.report.runs.readers import read_run, read_runs


def test_the_files_in_a_folder_say_what_trained_it(trainer_runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "run", {})
    assert read_run(tmp_path / "run").framework == "mmengine"
    assert read_run(trainer_runs / "finished").framework == "transformers"
    assert read_run(trainer_runs / "finished" / "checkpoint-8").framework == "transformers"


def test_a_folder_of_neither_kind_is_an_error_that_names_both(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("a = 1")
    (tmp_path / "20260101_120000" / "vis_data").mkdir(parents=True)
    (tmp_path / "checkpoint-8").mkdir()
    (tmp_path / "checkpoint-8" / "config.json").write_text("{}")
    with pytest.raises(WeightError) as error:
        read_run(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} contains no training log: no <timestamp>/vis_data/scalars.json of mmengine's LocalVisBackend, "
        "and no trainer_state.json or checkpoint-<step>/trainer_state.json of transformers' Trainer."
    )


def test_a_run_named_twice_is_one(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {})
    (run,) = read_runs([tmp_path / "run", tmp_path / "run" / ".." / "run"])
    assert run.name == "run"
    (run,) = read_runs([Path(os.path.relpath(tmp_path / "run"))])
    assert run.path == tmp_path / "run"


def test_runs_of_two_frameworks_with_the_same_name_are_distinguished(trainer_runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "run", {})
    shutil.copytree(trainer_runs / "plain", tmp_path / "b" / "run")
    runs = read_runs([tmp_path / "a" / "run", tmp_path / "b" / "run"])
    assert [(run.name, run.framework) for run in runs] == [("a/run", "mmengine"), ("b/run", "transformers")]

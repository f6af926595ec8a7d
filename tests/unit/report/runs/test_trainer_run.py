"""The reader of Trainer's output directories: what the Trainer really writes, and what is left of it after an accident."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headweights.report.runs.log import Curve
from headweights.report.runs.readers import read_run
from headweights.run_record.log_entries import Entry, parse_entry

CLOCKS = ("step", "epoch", "total_flos", "train_loss")
SPEED = ("_runtime", "_samples_per_second", "_steps_per_second")


def state_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "trainer_state.json").read_text())


@pytest.fixture
def finished(trainer_runs: Path, tmp_path: Path) -> Path:
    """A copy that a test can damage."""
    return Path(shutil.copytree(trainer_runs / "finished", tmp_path / "finished"))


def rewrite(folder: Path, *lines: Any, **changes: Any) -> None:
    """Adds lines to the log of the folder's own state, and changes other values in it."""
    state = state_of(folder) | changes
    state["log_history"] += lines
    (folder / "trainer_state.json").write_text(json.dumps(state))


def test_what_the_trainer_wrote_is_read_back(trainer_runs: Path) -> None:
    run = read_run(trainer_runs / "finished")
    assert run.notes == []
    read = run.log.training | run.log.metrics | {"/".join(entry): curve for entry, curve in run.log.entries.items()}
    lines = state_of(trainer_runs / "finished")["log_history"]
    names = {name for line in lines for name in line if parse_entry(name) or not (name in CLOCKS or name.endswith(SPEED))}
    assert read.keys() == names - {"eval_map_small", "test_map_small"}  # always -1
    for name, curve in read.items():
        logged = {line["step"]: line[name] for line in lines if name in line}
        assert dict(zip(curve.steps, curve.values, strict=True)) == logged
    assert run.log.last_step == 12
    assert run.datasets == ["real", "night_time"]
    assert run.record.target == "real"


def test_scalars_are_of_the_training_or_of_the_validation(trainer_runs: Path) -> None:
    log = read_run(trainer_runs / "finished").log
    assert log.training.keys() == {"loss", "learning_rate", "grad_norm"}
    # The main metric comes first, though the Trainer sorts its file by name.
    metrics = ["eval_map", "test_map", "eval_loss", "test_loss", "eval_map_cat", "eval_mar_100", "test_map_cat", "test_mar_100"]
    assert list(log.metrics) == metrics
    assert log.metrics["eval_map"].steps == [4, 8, 12]


def test_entries_are_in_the_order_of_the_record(trainer_runs: Path) -> None:
    run = read_run(trainer_runs / "finished")
    assert [head.path for head in run.record.heads] == ["loss_ce", "loss_bbox"]
    assert list(dict.fromkeys(entry.term for entry in run.log.entries)) == ["loss_ce", "loss_bbox"]


def test_the_settings(trainer_runs: Path) -> None:
    run = read_run(trainer_runs / "finished")
    assert run.main == {
        "model": "YolosForObjectDetection",
        "optimizer": "adamw_torch",
        "learning rate": "5e-05",
        "iterations": "12",
        "epochs": "6",
        "batch size": "4",
        "seed": "42",
    }
    assert (
        run.settings.items()
        >= {
            "logging_steps": "2",
            "lr_scheduler_type": "linear",
            "model.num_detection_tokens": "5",
            "model.image_size": "[32, 32]",
            "model.id2label.0": "LABEL_0",
        }.items()
    )


def test_without_a_record_fewer_settings_are_known(trainer_runs: Path) -> None:
    run = read_run(trainer_runs / "plain")
    assert run.main.keys() == {"model", "iterations", "epochs", "batch size"}
    assert run.settings["logging_steps"] == "2"


def test_a_training_without_headweights(trainer_runs: Path) -> None:
    run = read_run(trainer_runs / "plain")
    assert run.notes == [
        "no headweights.json: data sets, configured weights and sample images are unknown.",
        "the log has no entries by data set and head; its other scalars are shown (was it trained without headweights?).",
    ]
    assert run.log.metrics["eval_map"].steps == [4, 8, 12]


def test_a_killed_training_has_what_its_last_checkpoint_has(finished: Path) -> None:
    (finished / "trainer_state.json").unlink()
    (finished / "config.json").unlink()
    assert read_run(finished).notes == []
    # Killed while it wrote the last checkpoint: the state comes after the model.
    (finished / "checkpoint-12" / "trainer_state.json").unlink()
    run = read_run(finished)
    assert run.notes == ["the log ends at checkpoint-8 of 12 steps (the run was killed or stopped, or is still going on)."]
    assert run.log.training["loss"].steps == [2, 4, 6, 8]
    assert run.main["model"] == "YolosForObjectDetection"


def test_a_resumed_training_goes_on(trainer_runs: Path) -> None:
    run = read_run(trainer_runs / "resumed")
    assert run.notes == ["trainer_state.json ends at step 8, so the log of the later checkpoint-16 is shown."]
    for curve in (run.log.training["loss"], run.log.entries[Entry("raw_loss", "loss_ce", "night_time")]):
        assert curve.steps == list(range(2, 17, 2))
    assert run.main["iterations"] == "16"


def test_an_evaluation_after_the_training_does_not_replace_that_of_the_last_step(finished: Path) -> None:
    """After `load_best_model_at_end`, it is of an earlier checkpoint."""
    before = read_run(finished).log.metrics["eval_map"]
    rewrite(finished, {"eval_map": 0.9, "eval_runtime": 1.0, "step": 12})
    assert read_run(finished).log.metrics["eval_map"] == before


def test_a_metric_that_a_user_logged_is_one(finished: Path) -> None:
    """`trainer.log({"eval_map": ...})`, as the example does: there is no time of an evaluation beside it."""
    rewrite(finished, {"eval_map_of_mine": 0.3, "epoch": 3.5, "step": 14}, global_step=14)
    log = read_run(finished).log
    assert log.metrics["eval_map_of_mine"] == Curve([14], [0.3]) and "eval_map_of_mine" not in log.training


def test_a_damaged_state_gives_way_to_the_newest_readable_one(finished: Path) -> None:
    content = (finished / "trainer_state.json").read_text()
    (finished / "trainer_state.json").write_text(content[: len(content) // 2])
    (finished / "checkpoint-12" / "trainer_state.json").write_text("[]")
    (finished / "checkpoint-8" / "trainer_state.json").write_text('{"global_step": 8}')
    run = read_run(finished)
    assert run.notes == [
        "trainer_state.json is not JSON (cut off?).",
        "checkpoint-12/trainer_state.json is not a JSON object.",
        "checkpoint-8/trainer_state.json has no global_step or no log_history.",
        "the log ends at checkpoint-4 of 12 steps (the run was killed or stopped, or is still going on).",
    ]
    assert run.log.last_step == 4


def test_nothing_but_a_record(finished: Path) -> None:
    """A training that has just begun, or was killed before its first checkpoint."""
    for path in finished.iterdir():
        if path.name != "headweights.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    run = read_run(finished)
    assert run.datasets == ["real", "night_time"]
    # How long the training will be is in the state only.
    assert run.main.keys() == {"optimizer", "learning rate", "batch size", "seed"}
    assert run.notes[0] == "no trainer_state.json could be read, so there are no curves."
    assert run.notes[1] == "no config.json of a saved model: the model and its settings are unknown."


def test_what_is_not_finite_is_a_gap_and_what_has_no_step_is_left_out(finished: Path) -> None:
    rewrite(
        finished,
        {"loss": float("nan"), "learning_rate": float("inf"), "note": "text", "flag": True, "none": None, "step": 14},
        {"loss": 10**400, "step": 16},
        {"loss": 1, "step": 18},
        *({"loss": 2.0}, {"loss": 2.0, "step": -1}, {"loss": 2.0, "step": True}, {"loss": 2.0, "step": 1.5}, "loss", None),
        global_step=18,
    )
    run = read_run(finished)
    assert (run.log.training["loss"].steps[-3:], run.log.training["loss"].values[-3:]) == ([14, 16, 18], [None, None, 1.0])
    assert run.log.training.keys() == {"loss", "learning_rate", "grad_norm"}
    assert run.notes == [
        "trainer_state.json: values that are NaN or infinite, each a gap in its curve: 3.",
        "trainer_state.json: entries of log_history left out because they are not an object with a step: 6.",
    ]


def test_a_data_set_can_be_called_like_a_clock(finished: Path) -> None:
    rewrite(finished, {"raw_loss/loss_ce/my_runtime": 1.0, "loss": 1.0, "step": 14}, global_step=14)
    log = read_run(finished).log
    assert log.entries[Entry("raw_loss", "loss_ce", "my_runtime")] == Curve([14], [1.0])
    assert log.training["loss"].steps[-1] == 14


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 6000), garbage=st.binary(max_size=30), at=st.integers(0, 6000), config=st.binary(max_size=20))
def test_no_state_is_too_damaged(trainer_runs: Path, tmp_path: Path, cut: int, garbage: bytes, at: int, config: bytes) -> None:
    """Cut anywhere, with anything written into it: curves that are in order, or notes; never an exception."""
    content = (trainer_runs / "plain" / "trainer_state.json").read_bytes()
    (tmp_path / "trainer_state.json").write_bytes((content[:at] + garbage + content[at:])[: len(content) - cut or None])
    (tmp_path / "config.json").write_bytes(config)
    run = read_run(tmp_path)
    for curve in (*run.log.training.values(), *run.log.metrics.values()):
        assert curve.steps == sorted(set(curve.steps))
        assert len(curve.steps) == len(curve.values) > 0
    assert run.log.training or len(run.notes) > 3


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["step", "loss", "eval_runtime", "a"]), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(ANY, max_size=4), values=st.lists(ANY, min_size=5, max_size=5), architectures=ANY)
def test_no_value_is_too_strange(tmp_path: Path, history: list[Any], values: list[Any], architectures: Any) -> None:
    keys = ("max_steps", "num_train_epochs", "train_batch_size", "trial_params", "logging_steps")
    state = {"global_step": 1, "log_history": history, **dict(zip(keys, values, strict=True))}
    (tmp_path / "checkpoint-1").mkdir(exist_ok=True)
    (tmp_path / "checkpoint-1" / "trainer_state.json").write_text(json.dumps(state))
    (tmp_path / "checkpoint-1" / "config.json").write_text(json.dumps({"architectures": architectures}))
    run = read_run(tmp_path)
    assert all(isinstance(value, str) for value in (*run.main.values(), *run.settings.values()))
    assert all(type(step) is int for curve in run.log.training.values() for step in curve.steps)

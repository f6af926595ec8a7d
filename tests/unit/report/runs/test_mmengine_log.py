"""The reader of logs: whole ones, resumed ones, and whatever else may lie there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.logs import write_run

from headweights.report.runs.mmengine_log import read_log
from headweights.run_record.log_entries import parse_entry


def write(folder: Path, *lines: dict[str, Any] | str | bytes) -> Path:
    """A session's vis_data with these lines."""
    folder = folder / "vis_data"
    folder.mkdir(parents=True, exist_ok=True)
    coded = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode() for line in lines
    ]
    (folder / "scalars.json").write_bytes(b"".join(line + b"\n" for line in coded))
    return folder


def test_what_mmengine_wrote_is_read_back(tmp_path: Path) -> None:
    vis_data = write_run(tmp_path, {})
    lines = [json.loads(line) for line in (vis_data / "scalars.json").read_text().splitlines()]
    log = read_log([vis_data])
    assert log.notes == []
    named = {"/".join(entry): curve for entry, curve in log.entries.items()}
    for name in {name for line in lines for name in line if parse_entry(name)}:
        logged = {line["step"]: line[name] for line in lines if name in line}
        assert dict(zip(named[name].steps, named[name].values, strict=True)) == logged
    assert log.last_step == 300


def test_a_resumed_run_goes_on_and_what_was_trained_anew_is_replaced(tmp_path: Path) -> None:
    first = write(tmp_path / "1", *({"loss": 1.0, "step": step} for step in (10, 20, 30, 40)), {"coco/bbox_mAP": 0.1, "step": 40})
    # Resumed from iteration 24, and logged every 5 from there.
    second = write(tmp_path / "2", *({"loss": 2.0, "step": step} for step in (25, 30, 35)))
    log = read_log([first, second])
    assert log.training["loss"].steps == [10, 20, 25, 30, 35]
    assert log.training["loss"].values == [1, 1, 2, 2, 2]
    assert log.metrics == {}


def test_a_later_test_without_training_takes_nothing_away(tmp_path: Path) -> None:
    first = write(tmp_path / "1", {"loss": 1.0, "step": 10}, {"coco/bbox_mAP": 0.1, "step": 10})
    second = write(tmp_path / "2", {"coco/bbox_mAP": 0.2, "step": 0})
    log = read_log([first, second])
    assert log.training["loss"].steps == [10]
    assert log.metrics["coco/bbox_mAP"].steps == [0, 10]


@pytest.mark.parametrize("validation_step", [2, 0, 50])
def test_a_validation_stands_where_the_training_was(tmp_path: Path, validation_step: int) -> None:
    """mmengine counts it by epoch, by nothing (an iteration-based loop's epoch is 0), or by iteration."""
    folder = write(
        tmp_path,
        {"loss": 1.0, "epoch": 1, "iter": 20, "step": 20},
        {"loss": 1.0, "epoch": 2, "iter": 50, "step": 50},
        {"coco/bbox_mAP": 0.1, "step": validation_step},
    )
    assert read_log([folder]).metrics["coco/bbox_mAP"].steps == [50]


def test_what_is_no_number_is_no_curve_and_what_is_not_finite_is_a_gap(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        '{"loss": NaN, "lr": 0.1, "note": "text", "flag": true, "list": [1], "none": null, "step": 1}',
        '{"loss": 1.5, "lr": Infinity, "step": 2}',
        '{"loss": 1' + "0" * 400 + ', "step": 3}',
    )
    log = read_log([folder])
    assert set(log.training) == {"loss", "lr"}
    assert log.training["loss"].values == [None, 1.5, None]
    assert log.training["lr"].values == [0.1, None]
    gaps = "values that are NaN or infinite, each a gap in its curve: 3."
    assert log.notes == [f"{tmp_path.name}/vis_data/scalars.json: {gaps}"]


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {"loss": 1.0, "step": 1},
        "not json",
        "[1, 2]",
        "[" * 100_000,
        b'{"lo\xffss": 2.0, "step": 2}',
        {"loss": 1.0},
        {"loss": 1.0, "step": -1},
        {"loss": 1.0, "step": "3"},
    )
    with (folder / "scalars.json").open("a") as file:
        file.write('{"loss": 0.5, "st')
    log = read_log([folder])
    assert log.training["loss"].values == [1]
    notes = "\n".join(log.notes)
    assert "the last line is cut off" in notes
    assert "lines left out because they are not a JSON object with a step: 6." in notes


def test_a_session_without_a_log_is_said(tmp_path: Path) -> None:
    (tmp_path / "vis_data").mkdir()
    assert "not there" in read_log([tmp_path / "vis_data"]).notes[0]
    write(tmp_path)
    assert "holds no values" in read_log([tmp_path / "vis_data"]).notes[0]


LINE = st.dictionaries(
    st.one_of(st.sampled_from(["step", "iter", "epoch", "loss", "raw_loss/a.b/c", "gradient_cosine/a/b vs c"]), st.text()),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, max_size=6), cut=st.integers(0, 400), garbage=st.binary(max_size=30), at=st.integers(0, 400))
def test_no_log_is_too_damaged(tmp_path: Path, lines: list[dict[str, Any]], cut: int, garbage: bytes, at: int) -> None:
    """Cut anywhere, with anything written into it: curves that are in order, or notes; never an exception."""
    folder = write(tmp_path, *lines)
    content = (folder / "scalars.json").read_bytes()
    (folder / "scalars.json").write_bytes((content[:at] + garbage + content[at:])[: len(content) - cut or None])
    log = read_log([folder])
    for curve in (*log.entries.values(), *log.training.values(), *log.metrics.values()):
        assert curve.steps == sorted(set(curve.steps))
        assert len(curve.steps) == len(curve.values) > 0
    if not (log.entries or log.training or log.metrics):
        assert log.notes

"""Which files of a work directory make a run."""

from __future__ import annotations

import json
from pathlib import Path

from support.logs import write_run

from headweights.report.runs.readers import read_run


def test_the_sessions_of_a_resumed_run_in_order(tmp_path: Path) -> None:
    write_run(tmp_path, {}, steps=range(10, 201, 10), timestamp="20260101_120000", lr=0.1)
    write_run(tmp_path, {}, steps=range(160, 301, 10), timestamp="20260102_090000", lr=0.2)
    run = read_run(tmp_path)
    assert run.sessions == ["20260101_120000", "20260102_090000"]
    curve = run.log.training["lr"]
    assert curve.steps == list(range(10, 301, 10))
    assert [value for step, value in zip(curve.steps, curve.values, strict=True) if step in (150, 160)] == [0.1, 0.2]
    assert run.main["learning rate"] == "0.2"
    assert run.notes == []


def test_an_earlier_record_serves_where_the_last_is_broken(tmp_path: Path) -> None:
    write_run(tmp_path, {}, timestamp="20260101_120000")
    last = write_run(tmp_path, {}, timestamp="20260102_090000")
    (last / "headweights.json").write_text("{")
    run = read_run(tmp_path)
    assert run.record is not None
    assert len(run.notes) == 1
    assert "headweights.json is not JSON" in run.notes[0]


def test_a_session_can_be_named_itself(tmp_path: Path) -> None:
    write_run(tmp_path, {}, timestamp="20260101_120000")
    run = read_run(tmp_path / "20260101_120000")
    assert run.name == "20260101_120000"
    assert run.log.last_step == 300


def test_without_vis_datas_copy_the_dump_beside_it_is_the_config(tmp_path: Path) -> None:
    vis_data = write_run(tmp_path, {}, lr=0.1)
    (vis_data / "config.py").unlink()
    assert read_run(tmp_path).main["learning rate"] == "0.1"
    (tmp_path / "detector.py").write_text("a = (")
    run = read_run(tmp_path)
    assert run.settings == {}
    assert run.notes == ["the config detector.py is not Python: its settings are unknown."]


def test_vis_data_can_be_named_itself(tmp_path: Path) -> None:
    """Its record lies where the Trainer's would, but its log is mmengine's."""
    run = read_run(write_run(tmp_path, {}))
    assert (run.framework, run.log.last_step, run.notes) == ("mmengine", 300, [])


def test_a_term_is_split_at_the_heads_path(tmp_path: Path) -> None:
    vis_data = write_run(tmp_path, {})
    record = json.loads((vis_data / "headweights.json").read_text())
    record["heads"] = [{"path": "roi_head"}, {"path": "roi_head.bbox_head.0"}]
    (vis_data / "headweights.json").write_text(json.dumps(record))
    run = read_run(tmp_path)
    assert run.split_term("roi_head.s0.loss_cls") == ("roi_head", "s0.loss_cls")
    assert run.split_term("roi_head.bbox_head.0.loss_cls") == ("roi_head.bbox_head.0", "loss_cls")
    assert run.split_term("roi_head") == ("roi_head", "")
    assert run.split_term("neck.aux.loss_cls") == ("neck.aux", "loss_cls")
    assert run.split_term("loss") == ("loss", "")

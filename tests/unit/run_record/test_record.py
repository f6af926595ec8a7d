"""Records: what is written is read back, every valid part of a damaged one too, and every invalid part is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.logs import DATASETS, VENDOR, record, write_pictures

from headweights.run_record.file import read_record, write_record
from headweights.run_record.schema import RECORD, DataSetRecord, RunRecord, Sample


def written(folder: Path, content: Any) -> Path:
    path = folder / "headweights.json"
    path.write_text(json.dumps(content))
    return path


def test_a_record_is_read(tmp_path: Path) -> None:
    samples = write_pictures(tmp_path)
    content = record(samples, 0.2, True)
    found, notes = read_record(written(tmp_path, content))
    assert notes == []
    assert found is not None
    assert [dataset.name for dataset in found.datasets] == list(DATASETS)
    assert found.target == "real"
    assert [row.weight for row in found.table] == [row["weight"] for row in content["table"]]
    assert {row.dataset for row in found.table if row.schedule} == {VENDOR}
    assert found.heads[0].class_name == "RPNHeadWithWeightPerImage"
    assert [list(box) for box in found.datasets[0].samples[0].boxes] == samples["real"][0]["boxes"]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    content = record(write_pictures(tmp_path), 0.2, True)
    found, _ = read_record(written(tmp_path, content))
    assert found is not None
    write_record(tmp_path / "new", found)
    assert read_record(tmp_path / "new" / RECORD) == (found, [])
    # In the file's own keys, and nothing that was given is lost.
    again = json.loads((tmp_path / "new" / RECORD).read_text())
    assert list(again) == ["version", "target", "datasets", "heads", "table", "weights", "settings"]
    for row in content["table"]:
        row.update(effective_weight=None, background=None)
    for dataset in content["datasets"]:
        dataset["labelled"] = None
    assert again == content


def test_a_mistake_in_an_annotation_is_written_as_it_is(tmp_path: Path) -> None:
    """A training must not stop for it. The reader leaves the sample out."""
    samples = [
        Sample.model_construct(image="a.png", boxes=[[0.0, 0.0, float("nan"), 1.0]], width=640),
        Sample.model_construct(image="b.png", boxes=[[0.0, 0.0, 1.0]], object_weights=["much"]),
        Sample.model_construct(image="c.png", boxes=[[0.0, 0.0, 1.0, 1.0]]),
    ]
    write_record(tmp_path, RunRecord(datasets=[DataSetRecord(name="a", samples=samples)]))
    assert json.loads((tmp_path / RECORD).read_text())["datasets"][0]["samples"][0]["width"] == 640
    found, notes = read_record(tmp_path / RECORD)
    assert found is not None
    assert [sample.image for sample in found.datasets[0].samples] == ["c.png"]
    assert len(notes) == 2


@pytest.mark.parametrize("key", ["images", "objects"])
def test_a_number_too_large_for_a_float_is_left_out(tmp_path: Path, key: str) -> None:
    content = record({}, 0.2, True)
    content["datasets"][1][key] = 10**400
    found, notes = read_record(written(tmp_path, content))
    assert found is not None
    assert len(found.datasets) == 2
    assert f"datasets.1.{key}" in notes[0]


def test_unknown_keys_are_ignored_and_a_newer_version_is_said(tmp_path: Path) -> None:
    content = {**record({}, 0.2, True), "version": 2, "more": 1}
    content["heads"][0]["more"] = 1
    found, notes = read_record(written(tmp_path, content))
    assert found is not None
    assert len(found.heads) == 2
    assert len(notes) == 1
    assert "version 2" in notes[0]


def test_an_invalid_piece_is_left_out_alone(tmp_path: Path) -> None:
    content = record(write_pictures(tmp_path), 0.2, True)
    content["datasets"][0]["samples"][1]["boxes"] = [[1, 2, 3]]
    content["table"][2]["weight"] = "much"
    del content["heads"]
    found, notes = read_record(written(tmp_path, content))
    assert found is not None
    assert len(found.datasets) == 3
    assert len(found.datasets[0].samples) == 1
    assert len(found.table) == len(content["table"]) - 1
    assert found.heads == []
    told = "\n".join(notes)
    for place in ("samples.1.boxes.0", "table.2.weight", "no list 'heads'"):
        assert place in told


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "nonsense", "[" * 100_000])
def test_what_is_no_record_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "headweights.json").write_text(text)
    found, notes = read_record(tmp_path / "headweights.json")
    assert found is None
    assert len(notes) == 1


def test_no_record_is_no_damage(tmp_path: Path) -> None:
    assert read_record(tmp_path / "headweights.json") == (None, [])


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_anything_may_stand_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    content: Any = record({"real": [dict(image="a.png", boxes=[[0, 0, 1, 1]], labels=[0])]}, 0.2, True)
    # Down a random way, and there something else.
    place = content
    while True:
        key = data.draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else data.draw(st.integers(0, len(place) - 1))
        if not (isinstance(place[key], (dict, list)) and place[key]) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    found, _ = read_record(written(tmp_path, content))
    assert found is not None

"""The hook's arguments, the files that it reads, and where its table is printed."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger
from support.coco import pipeline, write_dataset

from headweights import AddressBook, WeightError
from headweights.mixture.mix import DataSet, Mix
from headweights.mmdet.hooks.loss_weights import LossWeightHook, announce
from headweights.mmdet.mixture.mix import sources_of

MIX = Mix([DataSet("real", 10, 10)], AddressBook({"rpn_head": ("loss_cls",)}), {})

keys = st.one_of(
    st.sampled_from(["real", "rpn_head", "", "schedule", "points", "by", "file_name", "loss_weight"]), st.text(max_size=4)
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.binary(max_size=2), st.just(object())
)
garbage = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner), st.dictionaries(st.one_of(keys, st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["weights", "datasets", "images", "normalize", "imagse"]), garbage))
def test_garbage_is_an_error_in_words_or_a_hook(arguments: dict[str, Any]) -> None:
    try:
        LossWeightHook(**arguments)
    except WeightError as error:
        assert str(error).startswith("LossWeightHook")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("data")
    return DATASETS.build(dict(write_dataset(folder, "real", images=2), pipeline=pipeline()))


cells = st.one_of(st.sampled_from(["0.png", "1.png", "nan", "0.5", "-1", "rpn_head", "", '"', "*"]), st.text(max_size=4))
csvs = st.lists(st.lists(cells, max_size=3).map(",".join), max_size=4).map(
    lambda lines: "\n".join(["file_name,loss_weight"] * (len(lines) % 2) + lines).encode()
)
files = st.one_of(
    st.tuples(st.just("csv"), csvs),
    st.tuples(st.just("json"), garbage.map(lambda value: json.dumps(value, default=str, skipkeys=True).encode())),
    st.tuples(st.sampled_from(["csv", "json", "txt"]), st.binary(max_size=30)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files)
def test_a_garbled_file_is_an_error_that_names_the_data_set_or_a_table_of_weights(
    tmp_path: Path, dataset: Any, file: tuple[str, bytes]
) -> None:
    ending, content = file
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(content)
    before = list(dataset.pipeline.transforms)
    (source,), problems = sources_of(dataset, None, images={"real": str(path)})
    assert dataset.pipeline.transforms == before, "looking weights up changes nothing"
    if problems:
        assert "'real'" in problems[0] or str(path) in problems[0]
    else:
        own = source.image_weights
        assert own is not None and len(own) == 2 and (own.array >= 0).all()


@pytest.mark.parametrize("terminal", [False, True])
def test_the_table_is_plain_in_the_log_and_rich_in_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    logger = MMLogger(f"announce-{terminal}", log_file=str(tmp_path / "run.log"))
    announce(MIX, logger)
    shown = capsys.readouterr().out
    assert shown.count("Loss weights by data set and head") == 1
    assert ("┃" in shown) == terminal and ("mmengine" in shown or "INFO" in shown) != terminal
    log = (tmp_path / "run.log").read_text()
    assert "| real     |" in log and "┃" not in log and "\x1b[" not in log


@pytest.mark.parametrize("terminal", [False, True])
def test_a_silent_logger_prints_no_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    """So are those of all processes but the first."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    announce(MIX, MMLogger(f"silent-{terminal}", log_level=logging.ERROR))
    assert capsys.readouterr().out == ""

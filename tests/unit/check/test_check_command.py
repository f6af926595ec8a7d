"""``headweights check``: every problem at once, on configs as users write them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from support.coco import add_fields, pipeline, runner_config, write_dataset
from support.detectors import FASTER_RCNN, RETINANET
from typer.testing import CliRunner

from headweights.check.run import checked, fixed
from headweights.cli import app

HEADS = ("rpn_head", "roi_head.bbox_head")


def parts(folder: Path, *steps: dict[str, Any]) -> list[dict[str, Any]]:
    real = dict(write_dataset(folder, "real"), pipeline=pipeline())
    return [real, dict(write_dataset(folder, "rendered", images=12), pipeline=pipeline(*steps))]


def written(folder: Path, hook: dict[str, Any] | None, *weighted: str, data: Any = None, **more: Any) -> Path:
    """A config file with this hook on two data sets of 4 and 12 pictures."""
    hooks = [] if hook is None else [dict(type="LossWeightHook", **hook)]
    data = data if data is not None else parts(folder)
    model = FASTER_RCNN if weighted else RETINANET
    config = runner_config(folder / "run", data, *weighted, model=model, epochs=2, custom_hooks=hooks)
    config.merge_from_dict(more)
    path = folder / "config.py"
    config.dump(path)
    return path


def found(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and what ``headweights check --json`` found."""
    result = CliRunner().invoke(app, ["check", str(path), "--json", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def messages(path: Path, kind: str) -> str:
    """What is said of one kind of problem."""
    code, said = found(path)
    assert not said["ok"]
    assert said["stops"] == any(problem["stops"] for problem in said["problems"])
    assert code == (2 if said["stops"] else 0)
    of_kind = [problem["message"] for problem in said["problems"] if problem["kind"] == kind]
    assert of_kind, said["problems"]
    return "\n".join(of_kind)


def test_where_all_is_well_it_prints_the_table_and_exits_with_0(tmp_path: Path) -> None:
    path = written(tmp_path, dict(weights=dict(real=2.2, rendered={"bbox_head": 0.6})))
    code, said = found(path, "--strict")
    assert code == 0 and said["ok"] and not said["stops"] and not said["problems"]
    assert [(d["name"], d["images"], d["objects"], d["drawn"]) for d in said["datasets"]] == [
        ("real", 4, 12, 4.0),
        ("rendered", 12, 36, 12.0),
    ]
    shares = {(row["dataset"], row["loss"]): row["share"] for row in said["table"]}
    assert shares["real", "loss_cls"] == pytest.approx(8.8 / 16)
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 0
    assert "No problem found." in result.stdout and "2.2 (55.0%)" in result.stdout


BAD_INPUT = [
    (dict(weights=dict(reel=1.0)), ["'reel' is no data set", "Nearest valid: 'real'"]),
    (dict(weights=dict(real={"bbox_haed": 1.0})), ["'bbox_haed'", "Nearest valid: 'bbox_head'"]),
    (dict(weights=dict(real={"bbox_head.los_cls": 1.0})), ["Nearest valid: 'bbox_head.loss_cls'"]),
    (dict(weights=dict(real={"rpn_head": 1.0})), ["'rpn_head'", "nothing in this model reads it"]),
    (dict(weights=dict(real=-1.0)), ["-1.0", "not negative"]),
    (dict(weights=dict(real="0.5")), ["type str"]),
    (dict(weights=dict(real=True)), ["a bool"]),
    (dict(weights=dict(real=dict(schedule="cosin", points=[(0, 1)], by="iter"))), ["'cosin'"]),
    (dict(weights=dict(real=1.0), datasets=["a"]), ["a list of 2 names"]),
    (dict(weights=dict(real=1.0), datasets=3), ["a list of names"]),
    (dict(weights=dict(real=1.0), normalise=True), ["Nearest valid: 'normalize'"]),
    (dict(weights=dict(real=1.0), images=dict(rendred={})), ["Nearest valid: 'rendered'"]),
    (dict(weights=dict(real=1.0), images=dict(real="missing.csv")), ["missing.csv"]),
    (dict(weights=dict(real=1.0), images=dict(real={"0.png": -1})), ["not negative"]),
    (dict(images=dict(real={"0.png": {"bbox_haed": 0.2}})), ["images: data set 'real'", "Nearest valid: 'bbox_head'"]),
    (dict(labelled=dict(rela=["thing"])), ["labelled: 'rela' is no data set", "Nearest valid: 'real'"]),
    (
        dict(weights=dict(real={"bbox_head.loss_bbox.background": 0.2})),
        ["matched to objects only", "'bbox_head.loss_cls.background'"],
    ),
]


@pytest.mark.parametrize(("hook", "said"), BAD_INPUT)
def test_bad_input_is_said_with_the_nearest_name(tmp_path: Path, hook: dict[str, Any], said: list[str]) -> None:
    text = messages(written(tmp_path, hook), "bad input")
    assert all(words in text for words in said), text


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')"])
def test_no_number_that_is_none(tmp_path: Path, value: str) -> None:
    path = written(tmp_path, dict(weights=dict(real=1.0)))
    path.write_text(path.read_text().replace("real=1.0", f"real={value}"))
    assert "finite" in messages(path, "bad input")


def test_everything_is_said_at_once(tmp_path: Path) -> None:
    weights = dict(reel=1.0, real={"bbox_haed": 1.0, "bbox_head.loss_cls": -1}, rendered="much")
    _, said = found(written(tmp_path, dict(weights=weights, normalize="yes")))
    assert [problem["kind"] for problem in said["problems"]].count("bad input") == 5
    assert all(problem["stops"] for problem in said["problems"])


def test_what_pipelines_set_is_checked_without_a_hook_too(tmp_path: Path) -> None:
    steps = [add_fields(rpn_haed=1.0)]
    assert "'rendered'" in messages(written(tmp_path, None, *HEADS, data=parts(tmp_path, *steps)), "bad input")
    stock = messages(written(tmp_path, None, data=parts(tmp_path, add_fields(bbox_head=1.0))), "bad input")
    assert "RetinaHeadWithWeightPerImage" in stock
    early = parts(tmp_path)
    early[1]["pipeline"].insert(-1, add_fields(bbox_head=1.0))
    assert "put this step after it" in messages(written(tmp_path, dict(weights={}), data=early), "bad input")
    uneven = parts(tmp_path, dict(type="AddFieldToImgMetas", fields=["bbox_head.loss_weight"], values=[1.0, 2.0]))
    assert "1 fields" in messages(written(tmp_path, dict(weights={}), data=uneven), "annotations")


def test_what_is_questionable_is_said_too(tmp_path: Path) -> None:
    assert "weighs 0" in messages(written(tmp_path, dict(weights=dict(real=0, rendered=0))), "no weight")
    assert "0.01%" in messages(written(tmp_path, dict(weights=dict(real=0.0003))), "tiny share")
    rate = written(tmp_path, dict(weights=dict(real=1.0, rendered=0.2)))
    assert "learning rate times 0.4" in messages(rate, "learning rate") and "normalize=True" in messages(rate, "learning rate")
    late = dict(schedule="linear", points=[(0, 1.0), (3, 0.9)], by="epoch")
    assert "epoch 3, after the training does (2 epochs)" in messages(written(tmp_path, dict(weights=dict(real=late))), "schedule")
    other = parts(tmp_path)
    other[1]["metainfo"] = dict(classes=("cat",), dataset_name="rendered")
    assert "real: 1 (thing); rendered: 1 (cat)" in messages(written(tmp_path, dict(weights={}), data=other), "classes")


def test_advice_stops_nothing_unless_it_is_asked_to(tmp_path: Path) -> None:
    path = written(tmp_path, dict(weights=dict(real=1.0, rendered=0.2)))
    for options, expected in (((), 0), (("--strict",), 2)):
        code, said = found(path, *options)
        assert (code, said["ok"], said["stops"]) == (expected, False, False)
        printed = CliRunner().invoke(app, ["check", str(path), *options])
        assert printed.exit_code == expected
        assert "1. [think again]" in printed.stdout and "No problem found." not in printed.stdout


def test_the_weights_of_objects_are_shown(tmp_path: Path) -> None:
    path = written(tmp_path, dict(weights={}))
    file = tmp_path / "rendered.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"][:8]:
        annotation["loss_weight"] = 0.2
    file.write_text(json.dumps(content))
    datasets = {dataset["name"]: dataset for dataset in found(path)[1]["datasets"]}
    assert (datasets["real"]["weighted_objects"], datasets["real"]["mean_object_weight"]) == (0, 1.0)
    assert datasets["rendered"]["weighted_objects"] == 8
    assert datasets["rendered"]["mean_object_weight"] == pytest.approx((8 * 0.2 + 28) / 36)
    printed = CliRunner().invoke(app, ["check", str(path)]).stdout
    assert "(8 weighted, mean 0.822)" in " ".join(printed.split())


def test_what_is_missing_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path, dict(weights=dict(rendered={"bbox_haed": 1.0})))
    (tmp_path / "rendered.json").unlink()
    code, said = found(path)
    assert code == 2
    assert {problem["kind"] for problem in said["problems"]} == {"annotations", "bad input"}
    assert [d["images"] for d in said["datasets"]] == [4, None]
    assert CliRunner().invoke(app, ["check", str(path)]).exit_code == 2
    (tmp_path / "real.json").write_text("{")
    assert {"'real'", "'rendered'"} <= set(messages(path, "annotations").replace(":", "").split())


def test_what_cannot_be_built_is_named(tmp_path: Path) -> None:
    model = written(tmp_path, dict(weights={}), **{"model.bbox_head.type": "RetinaHaed"})
    assert "Nearest valid: 'RetinaHead'" in messages(model, "model")
    data = parts(tmp_path)
    data[0]["type"] = "CocoDatasat"
    assert "Nearest valid: 'CocoDataset'" in messages(written(tmp_path, dict(weights={}), data=data), "annotations")
    assert "no training data" in messages(written(tmp_path, dict(weights={}), train_dataloader=None), "data")
    broken = tmp_path / "broken.py"
    broken.write_text("model = dict(")
    assert "cannot be read" in messages(broken, "config")
    assert "no such file" in messages(tmp_path / "none.py", "config")


def test_two_hooks_and_a_missing_import_stop_the_training(tmp_path: Path) -> None:
    path = written(tmp_path, dict(weights={}))
    config = Config.fromfile(path)
    config.custom_hooks = [*config.custom_hooks, dict(type="LossWeightHook", weights=dict(real=1.0))]
    config.pop("custom_imports")
    config.dump(path)
    assert "configured twice" in messages(path, "bad input")
    assert "custom_imports" in messages(path, "import")


@pytest.mark.parametrize(
    "hook",
    [
        dict(weights=dict(reel={"bbox_haed": 1.0}, rendred="0.9")),
        dict(weights=dict(real=-1.0, rendered={"bbox_head.los_cls": 1.1})),
        dict(weights=dict(rendered=dict(schedule="cosin", points=[(0, 1.0), (9, 0.9)], by="epoch"))),
        dict(weights=dict(real=1.0, rendered=0.2)),
        dict(weights=[1.0]),
    ],
)
def test_the_corrected_block_checks_clean(tmp_path: Path, hook: dict[str, Any]) -> None:
    path = written(tmp_path, hook)
    code, said = found(path, "--fix", "--strict")
    assert code == 2
    path.write_text(f"{path.read_text()}\n{said['fix']}\n")
    again, said = found(path, "--strict")
    assert again == 0, said["problems"]


def test_what_cannot_be_guessed_is_left_out_and_said(tmp_path: Path) -> None:
    _, said = found(written(tmp_path, dict(weights=dict(nonsense=1.0, real=-1.0))), "--fix")
    assert "# left out: 'nonsense': 1.0" in said["fix"] and "# left out: 'real': -1.0" in said["fix"]


@pytest.mark.slow
def test_the_program_itself(tmp_path: Path) -> None:
    path = written(tmp_path, dict(weights=dict(reel=1.0)))
    code = "from headweights.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code, "check", str(path), "--fix"], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    assert "1. [stops the training]" in run.stdout and "'real': 1.0" in run.stdout


keys = st.sampled_from(
    ["real", "rendered", "bbox_head", "bbox_head.loss_cls", "rpn_haed", "", "schedule", "points", "by", "0.png"]
)
simple = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(-(10**30), 10**30), st.text(max_size=3), keys)
garbage = st.recursive(
    simple, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)), max_leaves=6
)
arguments = st.dictionaries(st.sampled_from(["weights", "datasets", "images", "normalize", "weigths"]), garbage, max_size=4)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments)
def test_garbage_is_a_list_of_problems(tmp_path: Path, given: dict[str, Any]) -> None:
    path = tmp_path / "config.py"
    if not path.exists():
        written(tmp_path, {})
    text = path.read_text().split("# the hook")[0]
    path.write_text(
        f"{text}# the hook\nnan, inf = float('nan'), float('inf')\ncustom_hooks = [dict(type='LossWeightHook', **{given!r})]\n"
    )
    result = checked(path)
    assert all(problem.message for problem in result.problems)
    compile(fixed(result), "fix", "exec")

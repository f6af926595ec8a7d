"""The code in the README and the docs runs, and does what the text around it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mmdet.models.dense_heads import FCOSHead
from mmdet.registry import HOOKS, MODELS, TRANSFORMS
from mmdet.structures import DetDataSample
from support.coco import write_dataset
from support.detectors import make_batch, pair
from support.oracle import assert_scaled, pixel_gradients
from torch import nn

from headweights.check.run import checked
from headweights.mixture.table import plain, table_of
from headweights.mmdet import publishes_batch

ROOT = Path(__file__).resolve().parents[2]
FCOS = "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


def run(page: str, number: int, **names: Any) -> dict[str, Any]:
    exec(compile(blocks(page)[number], page, "exec"), names)
    return names


def test_the_head_in_three_lines_is_exact() -> None:
    head = run("docs/own_heads.md", 0, FCOSHead=FCOSHead)["MyHead"]
    assert MODELS.get("MyHeadWithWeightPerImage") is head
    stock, weighted = pair(FCOS, "bbox_head")
    for module in weighted.modules():
        if type(module).__name__ == "FCOSHeadWithWeightPerImage":
            object.__setattr__(module, "__class__", head)
    assert type(weighted.bbox_head) is head
    everything = {"all": lambda name: True}
    expected = pixel_gradients(stock, make_batch(stock), everything)["all"]
    data = make_batch(weighted, [{"bbox_head.loss_weight": 0.3}, {"bbox_head.loss_weight": 5}])
    assert_scaled(pixel_gradients(weighted, data, everything)["all"], expected, (0.3, 5), 1e-5)


def test_the_decorated_detector_publishes() -> None:
    detector = run("docs/own_heads.md", 1, nn=nn, publishes_batch=publishes_batch)["MyDetector"]
    assert hasattr(detector.loss, "_publishes_batch")


def test_the_transform_weighs_by_image() -> None:
    step = run("docs/weights.md", 0)["WeighByQuality"]()
    assert TRANSFORMS.get("WeighByQuality") is type(step)
    for path, weight in (("blurred/1.png", 0.2), ("1.png", 1.0)):
        sample = step({"data_samples": DetDataSample(metainfo={"img_path": path})})["data_samples"]
        assert sample.get("roi_head.loss_weight") == weight


def test_the_readmes_first_block_is_a_hook() -> None:
    (hook,) = run("README.md", 0)["custom_hooks"]
    assert HOOKS.build(hook).block["synthetic"]["roi_head"].at(0, 0) == 0.2


def test_an_interval_and_a_target_are_arguments_of_the_hook() -> None:
    (hook,) = run("docs/contributions.md", 0)["custom_hooks"]
    assert HOOKS.build(hook).target == "real"


@pytest.fixture
def by_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of docs/by_data_set.md as a file, with data where it says that there is some."""
    monkeypatch.chdir(tmp_path)
    for name, images in (("real", 4), ("synthetic", 12)):
        described = write_dataset(tmp_path / "data", name, images=images)
        annotations = tmp_path / "data" / described["ann_file"]
        content = json.loads(annotations.read_text())
        annotations.write_text(json.dumps({**content, "categories": [dict(id=0, name="person")]}))
    (tmp_path / "config.py").write_text(blocks("docs/by_data_set.md")[0])
    return tmp_path / "config.py"


def test_the_block_by_data_set_weighs_what_its_page_prints(by_data_set: Path) -> None:
    result = checked(by_data_set)
    assert {problem.kind for problem in result.problems} == {"learning rate"}
    assert result.mix is not None
    (printed,) = re.findall(r"```text\n(.*?)```", (ROOT / "docs/by_data_set.md").read_text(), flags=re.DOTALL)
    for line in printed.splitlines():
        assert line in plain(table_of(result.mix)).splitlines()


def test_check_in_python_prints_what_is_wrong(by_data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("docs/check.md", 0)
    printed = capsys.readouterr().out
    assert "learning rate False" in printed and "normalize=True," in printed


def test_weights_over_time() -> None:
    (given,) = run("docs/over_time.md", 0)["custom_hooks"]
    hook = HOOKS.build(given)
    assert str(hook.block["synthetic"]["roi_head"]) == "1 to 0.1 (cosine, epoch 0 to 12)"
    assert run("docs/over_time.md", 1)["values"][2] == 0.55


@pytest.mark.slow
def test_the_table_of_heads_is_current() -> None:
    # In a process of its own: other tests register heads of their own.
    script = ROOT / "scripts" / "heads_table.py"
    assert subprocess.run([sys.executable, str(script), "--check"], capture_output=True).returncode == 0, f"run {script.name}"

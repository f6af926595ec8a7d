"""The reader of config dumps, which never runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from headweights.report.runs.mmengine_config import read_settings


def test_what_mmengine_dumped(tmp_path: Path) -> None:
    config = Config(
        dict(
            optim_wrapper=dict(optimizer=dict(type="AdamW", lr=-2e-3)),
            custom_hooks=[dict(type="A"), dict(type="B", weights={"vendor A/x": {"roi_head": 0.2}})],
            betas=(0.9, 0.999),
            load_from=None,
            empty={},
            nested={"not an identifier": 1},
        )
    )
    config.dump(str(tmp_path / "config.py"))
    assert read_settings(tmp_path / "config.py") == {
        "optim_wrapper.optimizer.type": "AdamW",
        "optim_wrapper.optimizer.lr": "-0.002",
        "custom_hooks.0.type": "A",
        "custom_hooks.1.type": "B",
        "custom_hooks.1.weights.vendor A/x.roi_head": "0.2",
        "betas": "(0.9, 0.999)",
        "load_from": "None",
        "empty": "dict()",
        "nested.not an identifier": "1",
    }


def test_nothing_is_run(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(f"import os\na = open({str(tmp_path / 'made')!r}, 'w')\nprint('x')\nb, c = 1, 2\nd = e = 3\n")
    assert read_settings(path).keys() == {"a"}
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"a = (", b"\x00", b"\xff", b"a = " + b"(" * 5000])
def test_what_is_not_python_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.py").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.py is "):
        read_settings(tmp_path / "config.py")


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(f"a = {list(range(1000))}")
    assert len(read_settings(tmp_path / "config.py")["a"]) == 204

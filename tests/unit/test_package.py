"""The package stays light: the core needs torch only, and says what else to install where more is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None  # importing it fails as if it were not installed
{code}
"""


def run(code: str, *missing: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing, code=code)], capture_output=True, text=True, check=False
    )


def test_the_core_needs_torch_only() -> None:
    result = run(
        "import headweights; print(headweights.gate_gradient.__name__)", "mmdet", "mmengine", "mmcv", "typer", "rich", "numpy"
    )
    assert result.stdout.strip() == "gate_gradient", result.stderr


def test_checking_weights_needs_not_even_torch() -> None:
    result = run("import headweights; print(headweights.checked_weight(2, 'here'))", "torch", "mmdet", "mmengine", "mmcv")
    assert result.stdout.strip() == "2.0", result.stderr


def test_the_base_dependencies_are_enough_for_the_command_line() -> None:
    """And what comes only with an extra is not: an import of it stands where it is used."""
    frameworks = ("mmengine", "mmcv", "mmdet", "transformers", "accelerate")
    others = ("jinja2", "PIL", "plotly", "scipy", "cv2", "deepforest", "optuna", "grpc", "google")
    result = run("from headweights.cli import app; app(['--help'])", *frameworks, *others)
    assert result.returncode == 0, result.stderr
    assert all(command in result.stdout for command in ("demo", "report", "check", "tune"))


@pytest.mark.parametrize("missing", ["mmdet", "mmcv", "mmengine"])
def test_the_wing_says_what_to_install(missing: str) -> None:
    result = run("import headweights.mmdet", missing)
    assert result.returncode != 0
    assert "pip install --no-build-isolation 'headweights[mmdet]'" in result.stderr
    assert missing in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("missing", ["transformers", "accelerate", "scipy"])
def test_the_wing_for_transformers_says_what_to_install(missing: str) -> None:
    result = run("import headweights.transformers", missing)
    assert result.returncode != 0
    assert "pip install 'headweights[transformers]'" in result.stderr
    assert missing in result.stderr.splitlines()[-1]


def test_the_wing_for_transformers_needs_nothing_of_mmdetection() -> None:
    missing = ("mmdet", "mmcv", "mmengine", "cv2", "pycocotools", "torchvision", "datasets")
    result = run("import headweights.transformers; print(headweights.transformers.weigh.__name__)", *missing)
    assert result.stdout.strip() == "weigh", result.stderr


def test_the_wheel_has_every_room() -> None:
    src = ROOT / "src"
    rooms = {".".join(path.parent.relative_to(src).parts) for path in src.rglob("*.py")}
    assert all(f'"{room}",' in (ROOT / "pyproject.toml").read_text() for room in rooms)


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="there is one process")
@pytest.mark.xdist_group("one")
def test_tests_of_a_group_stay_in_one_process(request: pytest.FixtureRequest) -> None:
    """Not with every pair of pytest and pytest-xdist: then every process builds every model, and keeps it."""
    assert request.node.nodeid.endswith("@one")

"""The command line: help, wrong options, missing packages. Nothing here loads torch or mmdetection."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headweights.check import command as check_command
from headweights.cli import app
from headweights.demo import command


def shown(*arguments: str) -> tuple[int, str]:
    """Exit code and output (without colours and line ends) of `headweights <arguments>`."""
    result = CliRunner().invoke(app, arguments)
    plain = re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", "", result.output)
    return result.exit_code, " ".join(plain.split())


def test_help_names_the_commands() -> None:
    code, text = shown("--help")
    assert code == 0
    assert "demo" in text


def test_help_of_the_demo_names_its_options() -> None:
    code, text = shown("demo", "--help")
    assert code == 0
    assert all(option in text for option in ("digits", "crowns", "--iters", "--seed", "--work-dir"))


def test_a_disk_that_cannot_be_written_is_named() -> None:
    code, text = shown("demo", "--work-dir", "/proc/demo")
    assert code == 1 and "'/proc/demo'" in text and "--work-dir FOLDER" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "nonsense"),
        (["demo", "crows"], "'crows' is not one of 'digits', 'crowns'"),
        (["demo", "--itres", "3"], "--itres"),
        (["demo", "--iters", "0"], "--iters"),
        (["demo", "--iters", "many"], "--iters"),
        (["demo", "--seed", "-1"], "--seed"),
        (["demo", "--seed", "4294967296"], "--seed"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], told: str) -> None:
    code, text = shown(*arguments)
    assert code == 2
    assert told in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("mix", "module", "cure"),
    [
        ("digits", "mmdet", 'pip install --no-build-isolation "headweights[mmdet]"'),
        ("digits", "sklearn", "pip install scikit-learn"),
        ("crowns", "deepforest", "pip install deepforest --no-deps"),
    ],
)
def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, mix: str, module: str, cure: str) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == module else object())
    code, text = shown("demo", mix)
    assert code == 1
    assert text == f"headweights demo: the demo needs {module}: {cure}"


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    code, text = shown("demo", "--work-dir", str(tmp_path))
    assert code == 1
    assert "name another folder" in text
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, text = shown("demo", "--work-dir", str(tmp_path / "file" / "run"))
    assert code == 1
    assert text.startswith("headweights demo: ")
    assert "Traceback" not in text


def test_the_command_line_starts_without_torch() -> None:
    heavy = "{'torch', 'mmengine', 'mmcv', 'mmdet', 'cv2'} & set(sys.modules)"
    code = f"import sys, headweights.cli; print(sorted({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_without_mmdetection_the_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_command, "find_spec", lambda name: None if name == "mmcv" else object())
    code, text = shown("check", "config.py")
    assert code == 1
    assert text == 'headweights check: the check needs mmcv: pip install --no-build-isolation "headweights[mmdet]"'


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_its_packages_the_command_line_says_what_to_install(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; import headweights.cli"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.strip() == f"headweights: the command line needs {module}: pip install {module}"
    assert "Traceback" not in result.stderr

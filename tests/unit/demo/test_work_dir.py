"""What the demo overwrites: its own, and nothing else."""

from pathlib import Path

import pytest

from headweights.demo.run import claim


def test_a_new_folder_is_made(tmp_path: Path) -> None:
    assert claim(tmp_path / "a" / "b") is False
    assert (tmp_path / "a" / "b").is_dir()


def test_an_earlier_run_is_replaced_and_what_lies_beside_it_stays(tmp_path: Path) -> None:
    claim(tmp_path)
    (tmp_path / "data" / "real").mkdir(parents=True)
    (tmp_path / "picture.jpg").touch()
    (tmp_path / "notes.txt").write_text("mine")
    assert claim(tmp_path) is True
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "picture.jpg").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.png").touch()
    with pytest.raises(FileExistsError, match="name another folder"):
        claim(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "mine.png"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file"):
        claim(tmp_path / "file")


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.png").touch()
    claim(tmp_path / "run")
    (tmp_path / "run" / "data").symlink_to(tmp_path / "elsewhere")
    claim(tmp_path / "run")
    assert not (tmp_path / "run" / "data").exists()
    assert (tmp_path / "elsewhere" / "mine.png").exists()

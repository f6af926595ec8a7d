"""The mistakes that a new user makes, each really made, and what the message must say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from headweights import WeightError
from headweights.cli import app

# A message longer than this is not read. The paths in it do not count.
LONGEST = 420


@dataclass(frozen=True)
class Mistake:
    """A mistake.

    Args:
        name: What the user did.
        make: Makes it, in a folder of its own, and returns what the user reads. Or it raises `WeightError`.
        says: Words that the message must have: what is wrong, and what to do.
    """

    name: str
    make: Callable[[Path], Any]
    says: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def read(mistake: Mistake, folder: Path) -> str:
    """Makes the mistake and returns the message, without the folder's path and in one line."""
    try:
        said = mistake.make(folder)
    except WeightError as error:
        said = str(error)
    return " ".join(str(said).replace(str(folder), "").split())


def check_message(mistake: Mistake, folder: Path) -> None:
    """Makes the mistake, and asserts that its message is short and says what it must."""
    said = read(mistake, folder)
    for words in mistake.says:
        assert words in said, said
    assert "Traceback" not in said
    assert len(said) <= LONGEST, f"{len(said)} characters: {said}"


def command(*arguments: object, code: int = 2) -> str:
    """Runs `headweights` and returns what it prints, of `check` the problems only.

    Args:
        arguments: The words of the command line.
        code: The exit code that it must have.
    """
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output[max(result.output.find("1. ["), 0) :]

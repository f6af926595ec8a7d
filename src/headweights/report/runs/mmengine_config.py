"""Reads the settings in a dump of an mmengine config."""

from __future__ import annotations

import ast
from pathlib import Path

_LONGEST = 200


def read_settings(path: Path) -> dict[str, str]:
    """Reads the settings of a config dump as text, by dotted path: `optim_wrapper.optimizer.lr` -> `0.002`. Executes nothing.

    A list that contains dicts is indexed (`custom_hooks.0.type`); any other list is one value. A long value is truncated.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not Python, or is nested too deeply.
    """
    settings: dict[str, str] = {}
    try:
        for statement in ast.parse(path.read_bytes()).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    _flatten(name, value, settings)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path.name} is not Python") from error
    return settings


def _flatten(path: str, value: ast.expr, settings: dict[str, str]) -> None:
    items = _items(value)
    for name, inner in items:
        _flatten(f"{path}.{name}", inner, settings)
    if not items:
        text = _text(value)
        settings[path] = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _items(value: ast.expr) -> list[tuple[str, ast.expr]]:
    """The entries of a dict, or of a list that contains a dict, by key or index. Empty for any other value."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        # mmengine writes dict(a=1), and dict({'a b': 1}) if a key is not an identifier.
        named = [(keyword.arg, keyword.value) for keyword in value.keywords if keyword.arg is not None]
        return [*(item for argument in value.args for item in _items(argument)), *named]
    if isinstance(value, ast.Dict):
        return [(_text(key), inner) for key, inner in zip(value.keys, value.values) if key is not None]
    if isinstance(value, (ast.List, ast.Tuple)) and any(_items(element) for element in value.elts):
        return [(str(number), element) for number, element in enumerate(value.elts)]
    return []


def _text(value: ast.expr) -> str:
    return str(value.value) if isinstance(value, ast.Constant) else ast.unparse(value)

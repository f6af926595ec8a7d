"""Reads the settings of a run from mmengine's dump of its config, without running it."""

from __future__ import annotations

import ast
from pathlib import Path

# What a reader looks for first, and where configs have it.
NAMED = {
    "model": "model.type",
    "optimizer": "optim_wrapper.optimizer.type",
    "learning rate": "optim_wrapper.optimizer.lr",
    "iterations": "train_cfg.max_iters",
    "epochs": "train_cfg.max_epochs",
    "batch size": "train_dataloader.batch_size",
    "seed": "randomness.seed",
    "initial checkpoint": "load_from",
}

_LONGEST = 200


def read_settings(path: Path) -> dict[str, str]:
    """The settings of a config dump as text, by their dotted path: `optim_wrapper.optimizer.lr` -> `0.002`.

    Lists are counted (`custom_hooks.0.type`) where they hold dicts, and one value otherwise. A long value is cut.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not Python.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path.name} is not Python") from error
    settings: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
            try:
                _flatten(statement.targets[0].id, statement.value, settings)
            except RecursionError as error:
                raise ValueError(f"{path.name} is nested too deep") from error
    return settings


def _flatten(path: str, value: ast.expr, settings: dict[str, str]) -> None:
    for name, inner in _items(value):
        _flatten(f"{path}.{name}", inner, settings)
    if not _items(value):
        text = str(value.value) if isinstance(value, ast.Constant) else ast.unparse(value)
        settings[path] = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _items(value: ast.expr) -> list[tuple[str, ast.expr]]:
    """What a dict, or a list with a dict in it, holds by key or number; nothing for a value."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        # mmengine writes dict(a=1), and dict({'a b': 1}) where a key is no identifier.
        named = [(keyword.arg, keyword.value) for keyword in value.keywords if keyword.arg is not None]
        return [*(item for argument in value.args for item in _items(argument)), *named]
    if isinstance(value, ast.Dict):
        return [(_key(key), inner) for key, inner in zip(value.keys, value.values) if key is not None]
    if isinstance(value, (ast.List, ast.Tuple)) and any(_items(element) for element in value.elts):
        return [(str(number), element) for number, element in enumerate(value.elts)]
    return []


def _key(key: ast.expr) -> str:
    return str(key.value) if isinstance(key, ast.Constant) else ast.unparse(key)

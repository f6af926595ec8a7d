"""Checks a config: finds every problem at once and raises nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headweights.check.fix import Fix, as_config
from headweights.errors import WeightError
from headweights.mixture.mix import Mix
from headweights.mixture.problems import Problem, problems_of
from headweights.mmdet.config import BuiltConfig, build_config, read_config
from headweights.mmdet.heads.model_heads import heads_of
from headweights.mmdet.hooks.loss_weights import LossWeightHook
from headweights.mmdet.hooks.mixture import mix_of, sources_of
from headweights.weights.block import read_block


@dataclass
class Checked:
    """The result of a check.

    Args:
        built: What the config describes.
        mix: The data sets and their weights, as far as they are valid; None if there is no model or no data.
        problems: Everything that is wrong or questionable.
        notes: Other remarks.
    """

    built: BuiltConfig
    mix: Mix | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def checked(path: Path) -> Checked:
    """Checks the config at a path."""
    try:
        config = read_config(path)
    except WeightError as error:
        return Checked(BuiltConfig(), problems=[Problem("config", str(error), stops=True)])
    built = build_config(config)
    result = Checked(built, problems=list(built.problems))
    arguments = built.hook or {}
    block, unreadable = read_block(arguments.get("weights", {}))
    _stop(result, *unreadable)
    names = arguments.get("datasets")
    if built.hook is None:
        result.notes.append("The config has no LossWeightHook: weights come from its pipelines alone.")
    else:
        try:
            LossWeightHook(**{**arguments, "weights": {}})
        except (WeightError, TypeError) as error:
            _stop(result, str(error))
            names = None
    if built.dataset is None:
        return result
    images, target = arguments.get("images"), arguments.get("target")
    images = images if isinstance(images, Mapping) else {}
    mentioned = {"target": [target] if isinstance(target, str) and target else []}
    sources, wrong = sources_of(built.dataset, built.sampler, names, images, mentioned, is_named=built.hook is not None)
    _stop(result, *wrong)
    if built.model is None:
        return result
    normalize, objects = arguments.get("normalize") is True, arguments.get("objects") is not False
    result.mix, stops = mix_of(built.model, sources, None if built.hook is None else block, normalize, objects)
    result.problems += stops
    result.problems += problems_of(result.mix, built.length)
    return result


def _stop(result: Checked, *messages: str) -> None:
    result.problems += [Problem("bad input", message, stops=True) for message in messages]


def fixed(result: Checked) -> str:
    """Returns the corrected block of a config's hook as lines of a config."""
    built = result.built
    arguments: dict[str, Any] = dict(built.hook or {})
    book = heads_of(built.model).book if built.model is not None else None
    fix = Fix(list(result.mix.datasets) if result.mix else [], book, built.length)
    block = fix.block(arguments.pop("weights", {}))
    return as_config(block, arguments, result.problems, fix.left_out)

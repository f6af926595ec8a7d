"""Checks a config: everything at once, nothing raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from headweights.block import read_block
from headweights.check.config import Parts, parts_of
from headweights.check.fix import Fix, as_config
from headweights.errors import WeightError
from headweights.mix import Mix, no_such_dataset
from headweights.mmdet.datasets import Leaf, leaves, named
from headweights.mmdet.hook import LossWeightHook
from headweights.mmdet.load import image_table
from headweights.mmdet.model import heads_of
from headweights.mmdet.plan import planned, weigh_every_head
from headweights.problems import Problem, problems_of


@dataclass
class Checked:
    """What was found.

    Args:
        parts: What the config describes.
        mix: The data sets and their weights, as far as they can be meant; None where there is no model or no data.
        problems: Everything that is wrong.
        notes: What else there is to know.
    """

    parts: Parts
    mix: Mix | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def checked(path: Path) -> Checked:
    """Checks the config at a path."""
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is a program: whatever it raises
        said = f"{path}: it cannot be read: {type(error).__name__}: {error}".split("\n")[0]
        return Checked(Parts(), problems=[Problem("config", said, True)])
    parts = parts_of(config)
    result = Checked(parts, problems=list(parts.problems))
    if parts.hook is None:
        result.notes.append("The config has no LossWeightHook: weights come from its pipelines alone.")
    arguments = parts.hook or {}
    block, unreadable = read_block(arguments.get("weights", {}))
    result.problems += [Problem("bad input", line, True) for line in unreadable]
    names = arguments.get("datasets")
    if parts.hook is not None:
        try:
            LossWeightHook(**{**arguments, "weights": {}})
        except (WeightError, TypeError) as error:
            result.problems.append(Problem("bad input", str(error), True))
            names = None
    given = arguments.get("images")
    images: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    found: list[Leaf] = []
    if parts.dataset is not None:
        found = leaves(parts.dataset, parts.sampler)
        try:
            found = named(found, names)
        except WeightError as error:
            if parts.hook is not None:
                result.problems.append(Problem("bad input", str(error), True))
            found = [replace(leaf, name=f"{leaf.known_as.strip(chr(39))} #{number}") for number, leaf in enumerate(found, 1)]
    result.problems += [
        Problem("bad input", no_such_dataset(f"images: {name!r}", name, [leaf.name for leaf in found]), True)
        for name in images
        if found and name not in [leaf.name for leaf in found]
    ]
    for number, leaf in enumerate(found):
        try:
            found[number] = replace(leaf, own=image_table(leaf.dataset, images.get(leaf.name), leaf.name))
        except WeightError as error:
            result.problems.append(Problem("bad input", str(error), True))
    if parts.model is None or parts.dataset is None:
        return result
    reasons = weigh_every_head(parts.model) if parts.hook is not None else {}
    normalize = arguments.get("normalize") is True
    result.mix, stops = planned(parts.model, found, block, normalize, reasons, arguments.get("objects") is not False)
    result.problems += stops
    result.problems += problems_of(result.mix, parts.length)
    return result


def fixed(result: Checked) -> str:
    """The corrected block of a config's hook, as lines of a config."""
    arguments: dict[str, Any] = dict(result.parts.hook or {})
    weights = arguments.pop("weights", {})
    names = list(result.mix.datasets) if result.mix else []
    book = heads_of(result.parts.model).book if result.parts.model is not None else None
    fix = Fix(names, book, result.parts.length)
    block = fix.block(weights)
    return as_config(block, arguments, result.problems, fix.left_out)

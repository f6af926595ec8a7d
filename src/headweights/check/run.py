"""Checks a config: finds every problem at once and raises nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
class Checked(BuiltConfig):
    """The result of a check: what the config describes, and every problem with it.

    Args:
        mix: The data sets and their weights, as far as they are valid; None if there is no model or no data.
        notes: Other remarks.
    """

    mix: Mix | None = None
    notes: list[str] = field(default_factory=list)


def checked(path: Path) -> Checked:
    """Checks the config at a path."""
    try:
        config = read_config(path)
    except WeightError as error:
        return Checked(problems=[Problem("config", str(error), stops=True)])
    result = Checked(**vars(build_config(config)))
    arguments = result.hook or {}
    block, unreadable = read_block(arguments.get("weights", {}))
    result.stop("bad input", *unreadable)
    names = arguments.get("datasets")
    if result.hook is None:
        result.notes.append("The config has no LossWeightHook: weights come from its pipelines alone.")
    else:
        try:
            LossWeightHook(**{**arguments, "weights": {}})
        except (WeightError, TypeError) as error:
            result.stop("bad input", str(error))
            names = None
    if result.dataset is None:
        return result
    images, target = arguments.get("images"), arguments.get("target")
    images = images if isinstance(images, Mapping) else {}
    mentioned = {"target": [target] if isinstance(target, str) and target else []}
    sources, wrong = sources_of(result.dataset, result.sampler, names, images, mentioned, is_named=result.hook is not None)
    result.stop("bad input", *wrong)
    if result.model is None:
        return result
    normalize, objects = arguments.get("normalize") is True, arguments.get("objects") is not False
    labelled = arguments.get("labelled") if isinstance(arguments.get("labelled"), Mapping) else {}
    given = None if result.hook is None else block
    result.mix, found = mix_of(result.model, sources, given, normalize, objects, labelled)
    result.problems += [*found, *problems_of(result.mix, result.length)]
    return result


def fixed(result: Checked) -> str:
    """Returns the corrected block of a config's hook as lines of a config."""
    arguments = dict(result.hook or {})
    book = heads_of(result.model).book if result.model is not None else None
    fix = Fix(list(result.mix.datasets) if result.mix else [], book, result.length)
    block = fix.block(arguments.pop("weights", {}))
    return as_config(block, arguments, result.problems, fix.left_out)

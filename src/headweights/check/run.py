"""Checks a config: finds every problem at once and raises nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headweights.check.fix import CLASS_ORDER, Fix, as_config
from headweights.errors import WeightError
from headweights.mixture.mix import Mix
from headweights.mixture.problems import Problem, problems_of
from headweights.mixture.settings import BY_NAME, CATEGORIES
from headweights.mmdet.config import BuiltConfig, build_config, build_validation, read_config
from headweights.mmdet.heads.model_heads import heads_of
from headweights.mmdet.hooks.loss_weights import LossWeightHook
from headweights.mmdet.mixture.classes import number_by_name, wrong_classes, wrong_evaluation
from headweights.mmdet.mixture.labelled import advice_on_validation
from headweights.mmdet.mixture.mix import mix_of, sources_of
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
    classes = BY_NAME if arguments.get("classes") == BY_NAME else None
    validated = _check_validation(result, config, classes)
    if result.dataset is None:
        return result
    if classes is not None:
        try:
            number_by_name(result.dataset)
        except WeightError as error:
            result.stop(CLASS_ORDER, str(error))
    images, target = arguments.get("images"), arguments.get("target")
    images = images if isinstance(images, Mapping) else {}
    mentioned = {"target": [target] if isinstance(target, str) and target else []}
    sources, wrong = sources_of(result.dataset, result.sampler, names, images, mentioned, is_named=result.hook is not None)
    result.stop("bad input", *wrong)
    result.problems += _class_problems(wrong_classes(sources), result)
    if result.model is None:
        return result
    normalize, objects = arguments.get("normalize") is True, arguments.get("objects") is not False
    given_labels = arguments.get("labelled")
    labelled = given_labels if isinstance(given_labels, Mapping) else {}
    # A name in place of a list is named above already.
    labelled = {name: of_one for name, of_one in labelled.items() if not isinstance(of_one, str) or of_one == CATEGORIES}
    given = None if result.hook is None else block
    result.mix, found = mix_of(result.model, sources, given, normalize, objects, labelled)
    result.problems += [*found, *advice_on_validation(result.mix, validated), *problems_of(result.mix, result.length)]
    return result


def _check_validation(result: Checked, config: Any, classes: str | None) -> Any:
    """Adds the problems with the classes of a config's validation; returns its data set, or None."""
    try:
        built = build_validation(config)
    except WeightError as error:
        result.notes.append(f"The classes of the validation are not checked: {error}")
        return None
    if built is None:
        return None
    try:
        result.problems += _class_problems(wrong_evaluation(*built, classes), result)
    except WeightError as error:
        result.stop(CLASS_ORDER, str(error))
    return built[0]


def _class_problems(messages: Sequence[str], result: Checked) -> list[Problem]:
    """Only the hook stops a training for its classes."""
    return [Problem(CLASS_ORDER, message, stops=result.hook is not None) for message in messages]


def fixed(result: Checked) -> str:
    """Returns the corrected block of a config's hook as lines of a config."""
    arguments = dict(result.hook or {})
    book = heads_of(result.model).book if result.model is not None else None
    fix = Fix(list(result.mix.datasets) if result.mix else [], book, result.length)
    block = fix.block(arguments.pop("weights", {}))
    return as_config(block, arguments, result.problems, fix.left_out)

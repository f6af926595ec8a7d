"""The block in a config, ``weights=dict(<data set>=<weight or table by target>, ...)``, checked without model or data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headweights.errors import WeightError
from headweights.weights.addresses import target_of
from headweights.weights.schedules import Weight, is_schedule, parse_weight

# The weights of each data set by target; the target '' is every head.
Block = Mapping[str, Mapping[str, Weight]]


def parse_block(weights: Any, owner: str = "LossWeightHook") -> Block:
    """Reads the block.

    Args:
        weights: By data set: a weight for every head, or a table of weights by target (``'rpn_head'``,
            ``'roi_head.bbox_head.loss_cls'``; ``''`` for every other head). A weight is a number >= 0 or a schedule.
        owner: What errors call the owner of the block.

    Raises:
        WeightError: The block has mistakes. One message lists all of them.
    """
    block, problems = read_block(weights, owner)
    if problems:
        raise WeightError("\n".join(problems))
    return block


def read_block(weights: Any, owner: str = "LossWeightHook") -> tuple[Block, list[str]]:
    """Reads as much of a block as possible; also returns what is wrong with the rest."""
    where = f"{owner}: weights"
    if not isinstance(weights, Mapping):
        return {}, [f"{where} is {weights!r}; it must be a table: dict(<data set>=<weight>, ...)."]
    block: dict[str, dict[str, Weight]] = {}
    problems: list[str] = []
    for dataset, given in weights.items():
        if not isinstance(dataset, str) or not dataset:
            problems.append(f"{where}: {dataset!r} is no name of a data set.")
            continue
        of_targets = given if isinstance(given, Mapping) and not is_schedule(given) else {"": given}
        block[dataset] = {}
        for target, weight in of_targets.items():
            place = f"{where}: data set {dataset!r}" + (f", {target!r}" if target else "")
            try:
                known = checked_target(target, place)
                if known in block[dataset]:
                    raise WeightError(f"{place}: {known or 'every head'!r} is given twice.")
                block[dataset][known] = parse_weight(weight, place)
            except WeightError as error:
                problems.append(str(error))
    return block, problems


def checked_target(target: Any, place: str) -> str:
    """Checks a target and returns it without a final ``.loss_weight``.

    Raises:
        WeightError: It is not a string.
    """
    if not isinstance(target, str):
        raise WeightError(f"{place}: {target!r} is no target; a target is the path of a head or the name of a loss.")
    return target_of(target)

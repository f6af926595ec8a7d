"""The check before training: every weight that the pipelines will set is read by some head."""

from __future__ import annotations

import functools
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from headweights.addresses import Address
from headweights.errors import WeightError
from headweights.mmdet.datasets import Leaf, leaves
from headweights.mmdet.model import ModelHeads, heads_of, unwrapped
from headweights.weights import checked_weight


@HOOKS.register_module()
class CheckWeightsHook(Hook):
    """Before training, looks up every field of every ``AddFieldToImgMetas`` in the model, so that a weight that no head would
    read stops the run now and not when its first image comes along; and says where annotations have weights that nothing loads.
    Changes nothing.

    Every ``Runner`` made after ``headweights.mmdet`` was imported has one; it need not be configured.
    """

    priority = "VERY_LOW"

    def before_train(self, runner: Runner) -> None:
        dataset = runner.train_dataloader.dataset
        check_dataset(unwrapped(runner.model), dataset)
        for leaf in leaves(dataset):
            if leaf.leaves_weights_unread:
                runner.logger.warning(
                    f"headweights: the annotations of data set {leaf.known_as} have loss_weight, and nothing reads it: use a "
                    "LossWeightHook, or put LoadLossWeights after LoadAnnotations."
                )


def check_dataset(model: nn.Module, dataset: Any) -> None:
    """Looks up the fields that a data set's pipelines set in a model.

    Raises:
        WeightError: A field is meant as a weight and no head of the model reads it, or is set before there is any metainfo. The
            message has all of them.
    """
    heads = heads_of(model)
    problems = [problem for leaf in leaves(dataset) for problem in checked_fields(heads, leaf)[1]]
    if problems:
        raise WeightError("\n".join(problems))


def checked_fields(heads: ModelHeads, leaf: Leaf) -> tuple[dict[Address, float], list[str]]:
    """The weights that a data set's pipelines set, by address, as far as they can be meant; and what is wrong with the others."""
    fields: dict[Address, float] = {}
    problems = [
        f"AddFieldToImgMetas(fields={list(step.values)}) of data set {leaf.known_as} stands before PackDetInputs, which makes "
        "the metainfo: put this step after it."
        for step in leaf.too_early
    ]
    for name, value in leaf.fields.items():
        try:
            address = heads.find(name)
            if address is not None:
                fields[address] = checked_weight(value, f"field {name!r}")
        except WeightError as error:
            problems.append(f"AddFieldToImgMetas of data set {leaf.known_as}: {error}")
    return fields, problems


def check_every_runner() -> None:
    """Gives every ``Runner`` that is made from now on a :class:`CheckWeightsHook`; called once, on import."""
    register_hooks = Runner.register_hooks
    if hasattr(register_hooks, "_checks_weights"):
        return

    @functools.wraps(register_hooks)
    def registering(self: Runner, *args: Any, **kwargs: Any) -> None:
        register_hooks(self, *args, **kwargs)
        if not any(isinstance(hook, CheckWeightsHook) for hook in self.hooks):
            self.register_hook(CheckWeightsHook())

    registering._checks_weights = True  # type: ignore[attr-defined]
    Runner.register_hooks = registering

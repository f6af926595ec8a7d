"""The check before training: every weight that the pipelines will set is read by some head."""

from __future__ import annotations

import functools
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from headweights.errors import WeightError
from headweights.mmdet.datasets import leaves
from headweights.mmdet.model import heads_of, unwrapped


@HOOKS.register_module()
class CheckWeightsHook(Hook):
    """Before training, looks up every field of every ``AddFieldToImgMetas`` in the model, so that a weight that no head would
    read stops the run now and not when its first image comes along. Changes nothing.

    Every ``Runner`` made after ``headweights.mmdet`` was imported has one; it need not be configured.
    """

    priority = "VERY_LOW"

    def before_train(self, runner: Runner) -> None:
        check_dataset(unwrapped(runner.model), runner.train_dataloader.dataset)


def check_dataset(model: nn.Module, dataset: Any) -> None:
    """Looks up the fields that a data set's pipelines set in a model.

    Raises:
        WeightError: A field is meant as a weight and no head of the model reads it.
    """
    heads = heads_of(model)
    for leaf in leaves(dataset):
        for field in leaf.fields:
            try:
                heads.find(field)
            except WeightError as error:
                raise WeightError(f"AddFieldToImgMetas of data set {leaf.known_as}: {error}") from None


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

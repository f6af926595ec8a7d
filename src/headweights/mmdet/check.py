"""The check before training: every weight that the pipelines will set is read by some head."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from headweights.errors import WeightError
from headweights.mmdet.model import heads_of
from headweights.mmdet.transforms import AddFieldToImgMetas

# Where data sets, pipelines and transforms keep what they wrap.
_INNER = ("dataset", "datasets", "pipeline", "transforms", "branch_pipelines")


@HOOKS.register_module()
class CheckWeightsHook(Hook):
    """Before training, looks up every field of every ``AddFieldToImgMetas`` in the model, so that a weight that no head would
    read stops the run now and not when its first image comes along. Changes nothing.

    Every ``Runner`` made after ``headweights.mmdet`` was imported has one; it need not be configured.
    """

    priority = "VERY_LOW"

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        check_dataset(model, runner.train_dataloader.dataset)


def check_dataset(model: nn.Module, dataset: Any) -> None:
    """Looks up the fields that a data set's pipelines set in a model.

    Raises:
        WeightError: A field is meant as a weight and no head of the model reads it.
    """
    heads = heads_of(model)
    for name, step in steps(dataset):
        for field in step.values:
            try:
                heads.find(field)
            except WeightError as error:
                raise WeightError(f"AddFieldToImgMetas of data set {name}: {error}") from None


def steps(wrapped: Any, name: str = "") -> Iterator[tuple[str, AddFieldToImgMetas]]:
    """Every ``AddFieldToImgMetas`` in a data set, however it is wrapped, with the name of the data set it belongs to."""
    if isinstance(wrapped, AddFieldToImgMetas):
        yield name or "(unnamed)", wrapped
    elif isinstance(wrapped, (list, tuple)):
        for part in wrapped:
            yield from steps(part, name)
    elif isinstance(wrapped, dict):
        yield from steps(list(wrapped.values()), name)
    else:
        parts = [getattr(wrapped, inner) for inner in _INNER if getattr(wrapped, inner, None) is not None]
        for part in parts:
            yield from steps(part, _name_of(wrapped) or name)


def _name_of(dataset: Any) -> str:
    """A data set's name as its user knows it: ``metainfo['dataset_name']``, else its annotation file."""
    metainfo = getattr(dataset, "metainfo", None)
    named = metainfo.get("dataset_name") if isinstance(metainfo, dict) else None
    return repr(named or getattr(dataset, "ann_file", "") or "") if named or getattr(dataset, "ann_file", "") else ""


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

"""Gives every runner the hooks of headweights, and hands them its training data before its workers start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from headweights.errors import WeightError
from headweights.mmdet.data.mixing import keep_origins
from headweights.mmdet.hooks.check_weights import CheckWeightsHook
from headweights.mmdet.hooks.contributions import ContributionHook
from headweights.mmdet.hooks.loss_weights import LossWeightHook
from headweights.patching import replaced


class PreparePipelinesHook(Hook):
    """Before every epoch, prepares pipelines that another hook has just replaced (``PipelineSwitchHook``)."""

    priority = "LOWEST"

    def before_train_epoch(self, runner: Any) -> None:
        """Prepares them. Nothing changes where they are prepared."""
        for hook in runner.hooks:
            if isinstance(hook, LossWeightHook):
                hook.load()
        keep_origins(runner.train_dataloader.dataset)


def preparing(build_train_loop: Callable[..., Any], runner: Any, loop: Any) -> Any:
    """Builds the training loop of a runner (``Runner``, ``FlexibleRunner``) with its hooks and training data prepared.

    A loop by iterations starts its workers as it is built, before any hook is called. So its data loader is handed to the
    :class:`LossWeightHook` as soon as it exists.

    Raises:
        WeightError: There is more than one ``LossWeightHook``.
    """
    hooks = [hook for hook in runner.hooks if isinstance(hook, LossWeightHook)]
    if len(hooks) > 1:
        raise WeightError("LossWeightHook is configured twice; put all weights into one block.")
    present = {type(hook) for hook in runner.hooks}
    if hooks and ContributionHook not in present:
        ours = hooks[0]
        runner.register_hook(ContributionHook(lambda: [source.name for source in ours.sources], ours.target, ours.interval))
    for hook_class in (CheckWeightsHook, PreparePipelinesHook):
        if hook_class not in present:
            runner.register_hook(hook_class())
    given = runner._train_dataloader

    def prepare(loader: DataLoader[Any]) -> None:
        for hook in hooks:
            hook.prepare(loader)
        keep_origins(loader.dataset)

    def building(build: Callable[..., Any], dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        loader = build(dataloader, *args, **kwargs)
        if dataloader is given:
            prepare(loader)
        return loader

    if isinstance(given, DataLoader):
        prepare(given)
    with replaced(runner, "build_dataloader", building):
        return build_train_loop(runner, loop)

"""Checks, before training, that some head reads every weight that pipelines set."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from headweights.errors import WeightError
from headweights.mmdet.data.source_datasets import source_datasets
from headweights.mmdet.heads.model_heads import heads_of, unwrapped
from headweights.mmdet.mixture.classes import evaluation_problems, wrong_classes
from headweights.mmdet.mixture.fields import checked_fields


@HOOKS.register_module()
class CheckWeightsHook(Hook):
    """Before training, looks up every field of every ``AddFieldToImgMetas`` in the model. Changes nothing.

    A weight that no head reads stops the run before its first iteration, not when its first image comes along. Weights in
    annotations that no step loads are a warning. So is a class that is labelled as another; a ``LossWeightHook`` refuses it.
    Every runner has this hook without configuration.
    """

    priority = "VERY_LOW"

    def before_train(self, runner: Runner) -> None:
        """Checks the training data.

        Raises:
            WeightError: A field looks like a weight and no head reads it, or it is set before there is any metainfo.
        """
        sources = source_datasets(runner.train_dataloader.dataset)
        heads = heads_of(unwrapped(runner.model))
        problems = [problem for source in sources for problem in checked_fields(heads, source)[1]]
        if problems:
            raise WeightError("\n".join(problems))
        for problem in wrong_classes(sources) + evaluation_problems(runner.val_loop):
            runner.logger.warning(f"headweights: {problem}")
        for source in sources:
            if source.leaves_weights_unread:
                runner.logger.warning(
                    f"headweights: the annotations of data set {source.known_as} have loss_weight, and nothing reads it: use a "
                    "LossWeightHook, or put LoadLossWeights after LoadAnnotations."
                )

"""``LossWeightHook``: one block in the config weighs every data set in every head."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from torch.utils.data import DataLoader

from headweights.batch.in_force import put_in_force
from headweights.errors import WeightError
from headweights.mixture.mix import Mix
from headweights.mixture.problems import problems_of
from headweights.mixture.settings import check_settings, refuse_unknown
from headweights.mixture.table import plain, table_of
from headweights.mmdet.data.source_datasets import SourceDataset, load_weights
from headweights.mmdet.heads.model_heads import heads_of, unwrapped
from headweights.mmdet.heads.publishing import publishes
from headweights.mmdet.hooks.progress import length_of, moment_of, sampler_of
from headweights.mmdet.hooks.run_record import describe_run
from headweights.mmdet.mixture.classes import check_evaluation, number_by_name, wrong_classes
from headweights.mmdet.mixture.labelled import advice_on_validation
from headweights.mmdet.mixture.mix import mix_of, sources_of
from headweights.run_record.file import write_record
from headweights.weights.block import parse_block

_ARGUMENTS = ("weights", "datasets", "images", "normalize", "target", "interval", "objects", "labelled", "classes")


@HOOKS.register_module()
class LossWeightHook(Hook):
    """Weighs the data sets of a training in the heads of its model, on a stock config.

    .. code:: python

        custom_hooks = [dict(type='LossWeightHook', weights=dict(
            real=1.0,
            synthetic={'rpn_head': 1.0, 'roi_head': 0.2, 'roi_head.bbox_head.loss_cls': 0.05}))]

    When the training data is built, its data sets start to name themselves in the metainfo of their images. Before training,
    every head that computes a loss becomes weighted in place, the hook looks the weights up in the model, and it prints the table
    of data sets by heads. Before every iteration, it puts the weights of that iteration in force.

    Args:
        weights: By data set: a weight for every head, or a table of weights by target, ``<head path>[.<loss>]``. A weight is a
            number >= 0 or a schedule, ``dict(schedule='cosine', points=[(0, 1.0), (12, 0.1)], by='epoch')``; see
            :class:`headweights.weights.schedules.Schedule`. A data set that is not named weighs 1. A data set's name is its
            ``metainfo['dataset_name']``, else its entry in `datasets`, else its annotation file's stem. Default: None, 1 for all.
        datasets: The names of the data sets, in the order in which the config concatenates them. Default: None.
        images: By data set: where its images' own weights are; see :func:`headweights.images.sources.read`. Default: None.
        normalize: Whether the weights of each loss of each head are scaled to a mean of 1 over the mix. Default: False.
        target: The data set that the detector is meant for. The end of the log names others whose gradients oppose its gradient.
            Default: None, all pairs of data sets.
        interval: Iterations between measurements of what each data set contributes to each head; see
            :class:`headweights.mmdet.hooks.contributions.ContributionHook`. 0 for none. Default: None, the logger's.
        objects: Whether the weights that annotation files give to objects count. Default: True.
        labelled: By data set: the classes that it labels, or ``'categories'``, those that its annotation file lists. In its
            images, predictions without an object are not pushed away from the other classes. Default: None, all classes.
        classes: ``'by name'`` to number the classes by name where mmdetection, which goes by the order of the annotation file,
            takes a class for another: in data for training, validation and test, and in metrics that read a COCO file. Default:
            None, that is an error.

    Raises:
        WeightError: When it is built: a weight is invalid. Before the first iteration: a name, target or file does not exist,
            names clash, a head cannot be weighted, or a class is taken for another. One message lists all mistakes with the
            nearest valid names.
    """

    priority = "VERY_HIGH"

    def __init__(
        self,
        weights: Mapping[str, Any] | None = None,
        datasets: Sequence[str] | None = None,
        images: Mapping[str, Any] | None = None,
        normalize: bool = False,
        target: str | None = None,
        interval: int | None = None,
        objects: bool = True,
        labelled: Mapping[str, Any] | None = None,
        classes: str | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown("LossWeightHook", unknown, _ARGUMENTS)
        self.block = parse_block(weights if weights is not None else {})
        check_settings(
            "LossWeightHook",
            datasets=datasets,
            images=images,
            normalize=normalize,
            objects=objects,
            target=target,
            classes=classes,
            interval=interval,
            labelled=labelled,
        )
        self.names = datasets
        self.images = dict(images or {})
        self.normalize = normalize
        self.target = target
        self.interval = interval
        self.objects = objects
        self.labelled = dict(labelled or {})
        self.classes = classes
        self.sources: list[SourceDataset] = []
        self.mix: Mix | None = None

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Makes the data sets of a loader name themselves and load their weights. Called before its workers start."""
        if self.classes is not None:
            number_by_name(loader.dataset)
        mentioned = {"weights": self.block, "target": () if self.target is None else (self.target,)}
        sources, problems = sources_of(loader.dataset, sampler_of(loader), self.names, self.images, mentioned)
        problems += wrong_classes(sources)
        if problems:
            raise WeightError("\n".join(problems))
        self.sources = sources
        self.load()

    def load(self) -> None:
        """Makes the pipelines of the data sets load their weights. Does no harm where they do."""
        for source in self.sources:
            load_weights(source, self.images.get(source.name) is not None, self.objects)

    def before_train(self, runner: Runner) -> None:
        """Makes the heads weighted, looks the weights up in them, and prints the table."""
        if not self.sources:
            raise WeightError(
                f"LossWeightHook: {type(runner.train_loop).__name__} did not build its training data with the runner's "
                "build_dataloader, so the data sets could not be named. Give the runner the data loader or its config."
            )
        check_evaluation(runner.val_loop, self.classes)
        model = unwrapped(runner.model)
        if not publishes(type(model)):
            raise WeightError(
                f"LossWeightHook: {type(model).__name__} has no loss method that takes batch_data_samples, so its heads cannot "
                "know whose images they see. Put the decorator @headweights.mmdet.publishes_batch on the class that has one, and "
                "train that."
            )
        self.mix, problems = mix_of(model, self.sources, self.block, self.normalize, self.objects, self.labelled)
        if any(problem.stops for problem in problems):
            raise WeightError("\n".join(problem.message for problem in problems if problem.stops))
        self.before_train_iter(runner, 0)
        if is_main_process():
            announce(self.mix, runner.logger)
            record = describe_run(heads_of(model), self.mix, self.sources, self.block, self.target)
            write_record(Path(runner.log_dir) / "vis_data", record)
        validated = getattr(getattr(runner.val_loop, "dataloader", None), "dataset", None)
        for problem in [*problems, *advice_on_validation(self.mix, validated), *problems_of(self.mix, length_of(runner))]:
            runner.logger.warning(f"headweights: {problem.message}")

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Puts the weights of this iteration in force."""
        assert self.mix is not None
        put_in_force(unwrapped(runner.model), self.mix.in_force(moment_of(runner)))

    def before_val(self, runner: Runner) -> None:
        """Checks the classes of the validation, also where nothing trains."""
        check_evaluation(runner.val_loop, self.classes)

    def before_test(self, runner: Runner) -> None:
        """Checks the classes of the test."""
        check_evaluation(runner.test_loop, self.classes)

    def after_train(self, runner: Runner) -> None:
        """Weighs nothing any more."""
        put_in_force(unwrapped(runner.model), None)


def announce(mix: Mix, logger: logging.Logger) -> None:
    """Prints the table of a mix, with Rich on a terminal and as plain text in the log."""
    record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, "headweights:\n%s", (plain(table_of(mix)),), None)
    # mmengine sets the levels on the handlers. Except in the first process, they only let errors pass.
    for handler in logger.handlers:
        if record.levelno < handler.level:
            continue
        if isinstance(handler, logging.FileHandler) or not sys.stdout.isatty():
            handler.handle(record)
        else:
            Console().print(table_of(mix))

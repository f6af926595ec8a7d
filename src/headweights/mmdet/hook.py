"""``LossWeightHook``: one block in the config weighs every data set in every head."""

from __future__ import annotations

import difflib
import functools
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, Runner
from rich.console import Console
from torch.utils.data import DataLoader

from headweights.block import parse_block
from headweights.errors import WeightError
from headweights.mix import Mix, Moment, no_such_dataset
from headweights.mmdet.batch import publishes
from headweights.mmdet.contributions import ContributionHook
from headweights.mmdet.datasets import Leaf, leaves, named, with_weights_loaded
from headweights.mmdet.facts import write_facts
from headweights.mmdet.model import InForce, heads_of, unwrapped
from headweights.mmdet.plan import planned, weigh_every_head
from headweights.problems import Length, problems_of
from headweights.table import plain, table_of

_ARGUMENTS = ("weights", "datasets", "images", "normalize", "target", "interval", "objects")


@HOOKS.register_module()
class LossWeightHook(Hook):
    """Weighs the data sets of a training in the heads of its model, on a stock config.

    .. code:: python

        custom_hooks = [dict(type='LossWeightHook', weights=dict(
            real=1.0,
            synthetic={'rpn_head': 1.0, 'roi_head': 0.2, 'roi_head.bbox_head.loss_cls': 0.05}))]

    When the training data is built, its data sets are told to name themselves in the metainfo of their images. Before training,
    every head that computes a loss becomes weighted, in place; the weights are looked up in the model, and the table of data sets
    by heads is printed. Before every iteration, the weights of that iteration are put in force.

    Args:
        weights: By data set: a weight for every head, or a table of weights by target, ``<head path>[.<loss>]``. A weight is a
            number >= 0 or a schedule, ``dict(schedule='cosine', points=[(0, 1.0), (12, 0.1)], by='epoch')``; see
            :class:`headweights.schedules.Schedule`. A data set that is not named weighs 1. A data set's name is its
            ``metainfo['dataset_name']``, else its entry in `datasets`, else its annotation file's stem. Default: None, 1 for all.
        datasets: The names of the data sets, in the order in which the config concatenates them. Default: None.
        images: By data set: where its images' own weights are; see :mod:`headweights.images`. Default: None.
        normalize: Whether the weights of each loss of each head are scaled to a mean of 1 over the mix. Default: False.
        target: The data set that the detector is for. Others whose gradients oppose its are named at the end of the run.
            Default: None, all pairs of data sets.
        interval: Iterations between measurements of what each data set contributes to each head; see
            :class:`headweights.mmdet.contributions.ContributionHook`. 0 for none. Default: None, the logger's.
        objects: Whether the weights that annotation files give to objects hold. Default: True.

    Raises:
        WeightError: On building: a weight that is none. Before the first iteration: a name, a target or a file that does not
            exist, a clash of names, a head that cannot be weighted; all of them at once, with the nearest valid names.
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
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise WeightError(_no_such_argument(name))
        self.block = parse_block(weights if weights is not None else {})
        is_list = isinstance(datasets, Sequence) and not isinstance(datasets, str)
        if datasets is not None and not (is_list and all(isinstance(name, str) and name for name in datasets)):
            raise WeightError(f"LossWeightHook: datasets is {datasets!r}; it is a list of names, one for each data set.")
        if images is not None and not isinstance(images, Mapping):
            raise WeightError(
                f"LossWeightHook: images is {images!r}; it is a table: dict(<data set>=<where its weights are>, ...)."
            )
        if not isinstance(normalize, bool):
            raise WeightError(f"LossWeightHook: normalize is {normalize!r}; it is True or False.")
        if not isinstance(objects, bool):
            raise WeightError(f"LossWeightHook: objects is {objects!r}; it is True or False.")
        if target is not None and (not isinstance(target, str) or not target):
            raise WeightError(f"LossWeightHook: target is {target!r}; it is the name of a data set.")
        if interval is not None and (isinstance(interval, bool) or not isinstance(interval, int) or interval < 0):
            raise WeightError(f"LossWeightHook: interval is {interval!r}; it is a number of iterations, or 0 for none.")
        self.target = target
        self.objects = objects
        self.interval = interval
        self.names = datasets
        self.images = dict(images or {})
        self.normalize = normalize
        self.leaves: list[Leaf] = []
        self.mix: Mix | None = None

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Has the data sets of a loader name themselves; before its workers start."""
        found = named(leaves(loader.dataset, sampler_of(loader)), self.names)
        names = [leaf.name for leaf in found]
        problems = [
            no_such_dataset(f"LossWeightHook: {argument}: {name!r}", name, names)
            for argument, table in (
                ("weights", self.block),
                ("images", self.images),
                ("target", [] if self.target is None else [self.target]),
            )
            for name in table
            if name not in names
        ]
        if problems:
            raise WeightError("\n".join(problems))
        self.leaves = [with_weights_loaded(leaf, self.images.get(leaf.name), self.objects) for leaf in found]

    def before_train(self, runner: Runner) -> None:
        """Makes the heads weighted, looks the weights up in them, and prints the table."""
        if not self.leaves:
            raise WeightError(
                f"LossWeightHook: {type(runner.train_loop).__name__} did not build its training data with the runner's "
                "build_dataloader, so the data sets could not be named. Give the runner the config of the data loader, or the "
                "data loader itself."
            )
        model = unwrapped(runner.model)
        if not publishes(type(model)):
            raise WeightError(
                f"LossWeightHook: {type(model).__name__} has no loss method that takes batch_data_samples, so its heads cannot "
                "know whose images they see. Put the decorator @headweights.mmdet.publishes_batch on the class that has one, and "
                "train that."
            )
        reasons = weigh_every_head(model)
        self.mix, problems = planned(model, self.leaves, self.block, self.normalize, reasons, self.objects)
        if problems:
            raise WeightError("\n".join(problem.message for problem in problems))
        self._put_in_force(runner)
        if is_main_process():
            announce(self.mix, runner.logger)
            write_facts(Path(runner.log_dir) / "vis_data", model, self.mix, self.leaves, self.block, self.target)
        for problem in problems_of(self.mix, length_of(runner)):
            runner.logger.warning(f"headweights: {problem.message}")

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Puts the weights of this iteration in force."""
        self._put_in_force(runner)

    def after_train(self, runner: Runner) -> None:
        """Leaves the model as if no data set had a name."""
        heads_of(unwrapped(runner.model)).in_force = InForce()

    def _put_in_force(self, runner: Runner) -> None:
        assert self.mix is not None
        heads_of(unwrapped(runner.model)).in_force = InForce(*self.mix.in_force(moment_of(runner)))


def moment_of(runner: Runner) -> Moment:
    """The iteration that a runner is in, and the epoch: in a loop by iterations, which counts none, the pass over the data."""
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    return Moment(runner.iter, runner.epoch if by_epoch else runner.iter // _iterations_of_a_pass(runner))


def length_of(runner: Runner) -> Length:
    """How long a runner trains."""
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    epochs = runner.max_epochs if by_epoch else math.ceil(runner.max_iters / _iterations_of_a_pass(runner))
    return Length(runner.max_iters, epochs)


def _iterations_of_a_pass(runner: Runner) -> int:
    """How many iterations it takes all processes together to draw as many pictures as there are."""
    loader = runner.train_dataloader
    # A sampler without end is as long as the data in every process, any other as long as its process's part of it.
    drawn_by_all = len(sampler_of(loader)) * get_world_size()
    iterations: int = max(1, min(len(loader), math.ceil(len(loader) * len(loader.dataset) / drawn_by_all)))
    return iterations


def sampler_of(loader: DataLoader[Any]) -> Any:
    """What draws the pictures of a loader; a batch sampler (``AspectRatioBatchSampler``) keeps it."""
    return getattr(loader.batch_sampler, "sampler", loader.sampler)


def announce(mix: Mix, logger: logging.Logger) -> None:
    """Prints the table of a mix: with Rich where standard output is a terminal, plain in the log."""
    record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, "headweights:\n%s", (plain(table_of(mix)),), None)
    # mmengine keeps levels on the handlers; those of all processes but the first let errors pass only.
    for handler in logger.handlers:
        if record.levelno < handler.level:
            continue
        if isinstance(handler, logging.FileHandler) or not sys.stdout.isatty():
            handler.handle(record)
        else:
            Console().print(table_of(mix))


def prepare_every_runner() -> None:
    """Has every ``Runner`` hand its training data to its :class:`LossWeightHook` as soon as it is built; called once, on import.

    A loop by iterations starts its workers where the loop is built, before any hook is called.
    """
    for runner_class in (Runner, FlexibleRunner):
        register_hook = runner_class.register_hook
        if not hasattr(register_hook, "_prepares_weights"):
            runner_class.register_hook = _registering(register_hook)


def _registering(register_hook: Any) -> Any:
    @functools.wraps(register_hook)
    def registering(self: Any, *args: Any, **kwargs: Any) -> None:
        register_hook(self, *args, **kwargs)
        ours = [hook for hook in self.hooks if isinstance(hook, LossWeightHook)]
        if len(ours) > 1:
            raise WeightError("LossWeightHook is configured twice; put all weights into one block.")
        if ours and not any(isinstance(hook, ContributionHook) for hook in self.hooks):
            register_hook(self, ContributionHook(ours[0]))
            _prepare(self, ours[0])

    registering._prepares_weights = True  # type: ignore[attr-defined]
    return registering


def _no_such_argument(name: str) -> str:
    near = difflib.get_close_matches(name, _ARGUMENTS, n=1)
    return (
        f"LossWeightHook has no argument {name!r}."
        + (f" Nearest valid: {near[0]!r}." if near else "")
        + (f" Its arguments: {', '.join(_ARGUMENTS)}.")
    )


def _prepare(runner: Any, hook: LossWeightHook) -> None:
    """Has one runner hand its training data to its hook."""
    given, build_dataloader = runner._train_dataloader, runner.build_dataloader
    if isinstance(given, DataLoader):
        hook.prepare(given)
        return

    def building(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        loader = build_dataloader(dataloader, *args, **kwargs)
        if dataloader is given:
            hook.prepare(loader)
        return loader

    runner.build_dataloader = building

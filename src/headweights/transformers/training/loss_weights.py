"""``LossWeights``: one block weighs every data set in every loss of a model."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from weakref import ref

import torch.distributed as dist
from rich.console import Console
from torch import nn

from headweights.batch.in_force import put_in_force
from headweights.contributions.words import warnings_of
from headweights.errors import WeightError
from headweights.mixture.mix import Mix, Moment
from headweights.mixture.problems import Length
from headweights.mixture.settings import check_settings, refuse_unknown
from headweights.mixture.table import plain, table_of
from headweights.run_record.file import write_record
from headweights.transformers.data.entries import Collate
from headweights.transformers.data.mixed import Mixed, mixed, mixed_in
from headweights.transformers.data.source import sources_by_column, sources_of
from headweights.transformers.training.contributions import Contributions
from headweights.transformers.training.mixture import Checked, checked_mix, unlabelled_in_evaluation
from headweights.transformers.training.run_record import describe_run
from headweights.transformers.training.trainer_log import LogsMeasurements, log_measurements
from headweights.transformers.weighting.models import losses_of
from headweights.transformers.weighting.weigh import WeighedForward, weigh, weighed_forward
from headweights.weights.block import Block, parse_block
from headweights.weights.schedules import Constant

_ME = "LossWeights"
_ARGUMENTS = ("weights", "images", "normalize", "target", "interval", "labelled")
# In a loop of one's own, where no logger says how often it logs.
_INTERVAL = 50
# The range of a searched weight.
_SEARCHED = 0.03, 3.0
_logger = logging.getLogger("headweights")

_Model = TypeVar("_Model", bound=nn.Module)


class LossWeights(LogsMeasurements):
    """Weighs the data sets of a training in the losses of its model. A callback for a ``Trainer``:

    .. code:: python

        weights = LossWeights({"real": 1.0, "synthetic": {"loss_ce": 0.05, "loss_bbox": 1.0}}, target="real")
        trainer = Trainer(..., train_dataset=weights.mix(real=real, synthetic=synthetic), callbacks=[weights])

    or for a loop of your own, where :meth:`weigh` comes before the first step and :meth:`step` after each:

    .. code:: python

        model = weights.weigh(model, dataset)

    An image names its data set in its label dict, under ``dataset``: :meth:`mix` sees to it, or your collator. Before the first
    step, everything is checked and the table of data sets by losses is printed. Before every step, the weights of that step are
    put in force.

    Args:
        weights: By data set: a weight for every loss, or a table of weights by the names of losses (``''`` for every other
            loss). A weight is a number >= 0, or a schedule, ``dict(schedule='linear', points=[(0, 1.0), (1000, 0.1)],
            by='iter')``. What is not given weighs 1. Default: None, all 1.
        images: By data set: where its images' own weights are; see :func:`headweights.images.sources.read`. Default: None.
        normalize: Whether the weights of each loss are scaled to a mean of 1 over the mix. Default: False.
        target: The data set that the detector is meant for. At the end, warnings name others whose gradients oppose its gradient.
            Default: None, all pairs of data sets.
        interval: Steps between measurements of what each data set contributes to each loss. 0 for none. Default: None, as often
            as the ``Trainer`` logs; in a loop of your own, 50.
        labelled: By data set: the classes that it labels, by the names in the model's ``id2label``; or ``'categories'``, those
            that its annotation file lists. In its images, queries without an object are not pushed away from the other
            classes. Default: None, all label all classes.

    Raises:
        WeightError: When it is built: a setting is invalid. Before the first step: a name does not exist, or the model cannot be
            weighted. One message lists all mistakes with the nearest valid names.
    """

    # The state of the training that was begun last. The Trainer does not tell its callbacks of each other.
    _begun: ClassVar[Callable[[], Any]] = staticmethod(lambda: None)

    def __init__(
        self,
        weights: Mapping[str, Any] | None = None,
        images: Mapping[str, Any] | None = None,
        normalize: bool = False,
        target: str | None = None,
        interval: int | None = None,
        labelled: Mapping[str, Any] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(_ME, unknown, _ARGUMENTS)
        check_settings(_ME, images=images, normalize=normalize, target=target, interval=interval, labelled=labelled)
        self.block: Block = parse_block(weights if weights is not None else {}, _ME)
        self._given = self.block
        self._trial = ""
        self.images = dict(images or {})
        self.normalize = normalize
        self.target = target
        self.interval = interval
        self.labelled = dict(labelled or {})
        self._training: _Training | None = None
        self._said: set[str] = set()

    def mix(
        self,
        *datasets: Any,
        column: str | None = None,
        probabilities: Mapping[str, float] | None = None,
        seed: int = 0,
        **named: Any,
    ) -> Mixed:
        """Mixes data sets into one whose items name the data set that they are from.

        ``mix(real=real, synthetic=synthetic)`` has the items of the one and then those of the other; with
        ``probabilities=dict(real=0.3, synthetic=0.7)`` they are drawn in that proportion. Streams (iterable data sets) are
        interleaved.

        Args:
            datasets: At most one: a table of data sets by name, where a name is no Python identifier. With `column`: one data set
                of the library ``datasets``.
            column: The column that names the data set of each row. Default: None.
            probabilities: How often each data set is drawn, in any unit. Default: None, as often as it has items; streams alike.
            seed: The seed of the drawing. Default: 0.
            named: Data sets by name.

        Raises:
            WeightError: A data set is empty or not named, or `images` names one that is not there or images that it does not
                have.
        """
        if len(datasets) > 1:
            raise WeightError(
                f"{_ME}.mix: {len(datasets)} data sets have no names; give them by name: mix(real=..., synthetic=...)."
            )
        given = datasets[0] if datasets else None
        if column is not None:
            if named:
                raise WeightError(f"{_ME}.mix: give either data sets by name or a column, not both.")
            sources = sources_by_column(given, column, self.images)
        else:
            if given is not None and not isinstance(given, Mapping):
                raise WeightError(f"{_ME}.mix: give data sets by name: mix(real=..., synthetic=...), or a table of them.")
            sources = sources_of({**(given or {}), **named}, self.images)
        return mixed(sources, probabilities, seed)

    def collate(self, collate: Callable[[list[Any]], Any]) -> Collate:
        """Returns a collator that makes the label dicts of a batch name their data sets.

        You need it where items have no label dict yet: your collator makes it, or the model takes none (``Mask2Former``).

        Args:
            collate: Your collator.
        """
        return Collate(collate)

    def check(self, model: nn.Module, dataset: Any = None) -> Checked:
        """Checks the weights against a model and its training data. ``print(weights.check(model, dataset))`` shows the result.

        Args:
            model: The model.
            dataset: The training data. Default: None, data sets that the images name.
        """
        return self._checked(inner_model(model), dataset, Length())

    def weigh(self, model: _Model, dataset: Any = None, steps: int | None = None, epochs: int | None = None) -> _Model:
        """Makes a model weighted in place, for a loop of your own, and returns it.

        Args:
            model: The model, before or after it was wrapped.
            dataset: The training data. Default: None, data sets that the images name.
            steps: The length of the training in steps. Schedules are checked against it. Default: None, unknown.
            epochs: The same in epochs.

        Raises:
            WeightError: There is a mistake in the block, or the model cannot be weighted.
        """
        self._begin(model, dataset, Length(steps, epochs), _INTERVAL if self.interval is None else self.interval)
        return model

    def step(self, epoch: int = 0) -> dict[str, float]:
        """Goes on to the next step, in a loop of your own: call it after ``optimizer.step()``.

        Args:
            epoch: The epoch of the next step, for schedules by epoch. Default: 0.

        Returns:
            The measurements of the step for your log, by name. Empty after most steps.
        """
        training = self._in_training()
        training.end_step()
        training.begin_step(Moment(training.moment.iteration + 1, epoch))
        return dict(self.take_measurements())

    def hp_space(self, trial: Any) -> dict[str, Any]:
        """Draws new weights, for ``Trainer.hyperparameter_search(backend='optuna', hp_space=weights.hp_space)``.

        Every weight of the block except those of the target is drawn between 0.03 and 3 on a logarithmic scale, under the name
        ``'<data set>: <loss>'``. The best weights are in the parameters of the best trial.

        Args:
            trial: Optuna's trial.

        Returns:
            Nothing for the arguments of the training, which stay as they are.

        Raises:
            WeightError: There is no weight to search.
        """
        searched = {
            (name, loss): trial.suggest_float(f"{name}: {loss or 'every loss'}", *_SEARCHED, log=True)
            for name, given in self._given.items()
            for loss, weight in given.items()
            if name != self.target and isinstance(weight, Constant)
        }
        if not searched:
            raise WeightError(f"{_ME}.hp_space: there is no weight to search: none but those of the target and schedules.")
        self._trial = f"run-{trial.number}"
        self.block = {
            name: {loss: Constant(searched[name, loss]) if (name, loss) in searched else weight for loss, weight in given.items()}
            for name, given in self._given.items()
        }
        return {}

    def take_measurements(self) -> Mapping[str, float]:
        """Returns the measurements since the last call, by name."""
        return self._training.take_measurements() if self._training is not None else {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Makes the model weighted, checks the weights, and writes the record of the training."""
        if LossWeights._begun() is state:
            raise WeightError("the Trainer has two LossWeights among its callbacks; give it one, with all weights in its block.")
        LossWeights._begun = ref(state)
        if args.remove_unused_columns:
            raise WeightError(
                "TrainingArguments.remove_unused_columns is True: the Trainer drops what names the data set of an image. Set "
                "remove_unused_columns=False."
            )
        loader = kwargs.get("train_dataloader")
        interval = (state.logging_steps if args.logging_strategy != "no" else 0) if self.interval is None else self.interval
        length = Length(state.max_steps, math.ceil(args.num_train_epochs))
        self._begin(kwargs["model"], getattr(loader, "dataset", None), length, int(interval))
        if state.is_world_process_zero:
            training = self._in_training()
            # Without tokens. The Trainer's own file of its arguments is a pickle.
            settings = args.to_sanitized_dict()
            record = describe_run(training.forward.losses, training.mix, self.block, self.target, settings)
            # Each trial of a search has a folder of its own.
            trial = (state.trial_name or self._trial) if state.is_hyper_param_search else ""
            write_record(Path(args.output_dir) / trial, record)
        log_measurements()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draws the items of the epoch. accelerate's data loaders see to it in one process, but not in several."""
        mix = mixed_in(kwargs.get("train_dataloader"))
        if mix is not None:
            mix.set_epoch(int(state.epoch or 0))

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Puts the weights of the step in force."""
        self._in_training().begin_step(Moment(state.global_step, int(state.epoch or 0)))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Adds up what the processes measured."""
        self._in_training().end_step()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Warns once of evaluation data that does not label all classes."""
        dataset = getattr(kwargs.get("eval_dataloader"), "dataset", None)
        warning = unlabelled_in_evaluation(self._training.mix, dataset) if self._training is not None else None
        if warning is not None and warning not in self._said:
            self._said.add(warning)
            _logger.warning("headweights: %s", warning)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Weighs nothing any more, and warns of data sets whose gradients opposed each other."""
        training = self._in_training()
        put_in_force(training.model, None)
        if state.is_world_process_zero:
            for warning in warnings_of(training.contributions.cosines, self.target):
                _logger.warning(warning)

    def _checked(self, model: nn.Module, dataset: Any, length: Length) -> Checked:
        id2label = getattr(model.config, "id2label", None) or {}
        given = self.block, self.normalize, self.target, length, self.labelled
        return checked_mix(losses_of(model), dataset, *given, id2label)

    def _begin(self, model: nn.Module, dataset: Any, length: Length, interval: int) -> None:
        model = inner_model(model)
        checked = self._checked(model, dataset, length)
        if checked.stops:
            raise WeightError("\n".join(checked.stops))
        weigh(model)
        forward = weighed_forward(model)
        assert forward is not None
        self._training = _Training(model, forward, checked.mix, interval)
        self._training.begin_step(Moment())
        if not dist.is_initialized() or dist.get_rank() == 0:
            announce(checked)

    def _in_training(self) -> _Training:
        if self._training is None:
            raise WeightError(f"{_ME} has no model yet: call weigh(model, dataset) before the first step.")
        return self._training


class _Training:
    """A training that goes on.

    Args:
        model: Its model, weighted.
        forward: What weighs the model.
        mix: Its data sets and their weights.
        interval: Steps between measurements; 0 for none.
    """

    def __init__(self, model: nn.Module, forward: WeighedForward, mix: Mix, interval: int) -> None:
        self.model = model
        self.forward = forward
        self.mix = mix
        self.interval = interval
        self.contributions = Contributions(list(mix.datasets))
        self.moment = Moment()
        self._is_measuring = False
        self._measurements: dict[str, float] = {}

    def begin_step(self, moment: Moment) -> None:
        """Puts the weights of a moment in force, and listens to the step if it is one to measure."""
        self.moment = moment
        put_in_force(self.model, self.mix.in_force(moment))
        self._is_measuring = bool(self.interval and self.mix.datasets and (moment.iteration + 1) % self.interval == 0)
        if self._is_measuring:
            self.contributions.listen(self.forward)

    def end_step(self) -> None:
        """Adds up what the processes measured in the step."""
        if self._is_measuring:
            self._is_measuring = False
            self.forward.watch = None
            found = self.contributions.finish(next(self.model.parameters()).device)
            self._measurements.update({entry.name: value for entry, value in found.items()})

    def take_measurements(self) -> dict[str, float]:
        """Returns the measurements since the last call, by name."""
        taken, self._measurements = self._measurements, {}
        return taken


def inner_model(model: Any) -> nn.Module:
    """Returns a model without the wrappers around it: ``torch.compile``, data parallel ones, adapters (PEFT)."""
    while True:
        inner = getattr(model, "_orig_mod", None) or (getattr(model, "module", None) if not hasattr(model, "config") else None)
        if inner is None and hasattr(model, "get_base_model"):
            inner = model.get_base_model()
        if not isinstance(inner, nn.Module):
            if not isinstance(model, nn.Module):
                raise WeightError(f"{_ME}: the model comes first, and the {type(model).__name__} is none.")
            return model
        model = inner


def announce(checked: Checked) -> None:
    """Prints the table of a mix, with Rich on a terminal, and warns of its problems."""
    if checked.mix.datasets:
        table = table_of(checked.mix)
        if sys.stdout.isatty():
            Console().print(table)
        else:
            print(f"headweights:\n{plain(table)}", flush=True)
    for problem in checked.problems:
        _logger.warning("headweights: %s", problem.message)

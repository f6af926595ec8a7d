"""Makes a model weighted in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from torch import nn

from headweights.batch.current import publishing
from headweights.batch.in_force import in_force
from headweights.errors import WeightError
from headweights.transformers.install import wrap
from headweights.transformers.weighting.gated_criterion import gating
from headweights.transformers.weighting.labels import CLASS_LABELS, LabelledBatch
from headweights.transformers.weighting.models import ModelLosses, losses_of

LABELS = "labels"

_Model = TypeVar("_Model", bound=nn.Module)
# Is called with the model, a batch, and the loss of the batch.
Listener = Callable[[nn.Module, LabelledBatch, torch.Tensor], None]


class WeighedForward:
    """Publishes the labels of a batch while a model computes its loss.

    It hangs on the model's forward hooks, so that the class of the model, its ``state_dict`` and its predictions stay as they
    are.

    Args:
        losses: The losses of the model.
    """

    def __init__(self, losses: ModelLosses) -> None:
        self.losses = losses
        self.install()
        # Is told of every batch before its losses are computed; may return a listener for afterwards.
        self.watch: Callable[[LabelledBatch], Listener | None] | None = None
        self._then: Listener | None = None
        self._batch: LabelledBatch | None = None
        self._published = ExitStack()

    def install(self) -> None:
        """Makes the criterion's class gate predictions."""
        wrap(self.losses.criterion_class(), "forward", gating)

    def __deepcopy__(self, memo: Any) -> WeighedForward:
        return WeighedForward(self.losses)

    def __reduce__(self) -> Any:
        return WeighedForward, (self.losses,)

    @torch.compiler.disable
    def before(self, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The hook before the forward pass."""
        labels = kwargs.get(LABELS)
        if not self.losses.takes_labels:
            kwargs = {name: value for name, value in kwargs.items() if name != LABELS}
        given = inspect.signature(type(model).forward).bind_partial(model, *args, **kwargs).arguments
        objects = given.get(CLASS_LABELS)
        if self.losses.takes_labels:
            labels = given.get(LABELS)
            objects = None if labels is None else [label[CLASS_LABELS] for label in labels]
        if not torch.is_grad_enabled():
            return args, kwargs
        if objects is not None:
            self._publish(model, labels if labels is not None else [{}] * len(objects), objects)
        elif model.training and in_force(model).datasets:
            raise WeightError(
                f"{type(model).__name__} trains without labels, so it does not compute the loss, and the weights in force cannot "
                "act. Let the model compute it: give the Trainer no compute_loss_func and no label_smoothing_factor."
            )
        return args, kwargs

    @torch.compiler.disable
    def after(self, model: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """The hook after the forward pass, also after one that failed."""
        self._published.close()
        batch, then = self._batch, self._then
        self._batch = self._then = None
        if batch is None or output is None:
            return
        if not batch.is_computed:
            criterion = self.losses.criterion.rpartition(".")[2]
            raise WeightError(
                f"{type(model).__name__} computed a loss, but not with {criterion}, so weights did not act. A loss_function of "
                "your own has to use that class."
            )
        if then is not None:
            then(model, batch, output["loss"] if isinstance(output, Mapping) else output[0])

    def _publish(self, model: nn.Module, labels: Sequence[Mapping[str, Any]], objects: Sequence[torch.Tensor]) -> None:
        if len(labels) != len(objects):
            raise WeightError(f"There are {len(labels)} labels for a batch of {len(objects)} images; give one dict for each.")
        self._batch = LabelledBatch(self.losses, in_force(model), labels, objects)
        self._then = self.watch(self._batch) if self.watch is not None else None
        self._published.enter_context(publishing(self._batch))


def weigh(model: _Model) -> _Model:
    """Makes a model weighted in place and returns it. Doing it twice does no harm.

    From then on, each dict in the `labels` of a training batch may have two more entries: ``loss_weight``, the weight of the
    image, a number or a table of numbers by loss (``{'loss_ce': 0.1, 'loss_bbox': 1.0}``; ``''`` for every other loss); and
    ``loss_weights``, a float tensor with one number for each object. What has none weighs 1. A model that takes no label dicts
    (``MaskFormer``, ``Mask2Former``, ``OneFormer``, ``EoMT``) takes them as a further argument `labels`.

    The values of all losses stay those of the stock model: weights act on gradients.

    Args:
        model: A detection or segmentation model of transformers, without wrapper.

    Raises:
        WeightError: The class of the model cannot be weighted.
    """
    forward = weighed_forward(model)
    if forward is not None:
        forward.install()
    else:
        losses = losses_of(model)
        if "loss_function" in model._modules:
            raise WeightError(
                f"{type(model).__name__}.loss_function was set to a module, which transformers ignores silently: set a function, "
                "such as lambda *args, **kwargs: module(*args, **kwargs)."
            )
        forward = WeighedForward(losses)
        model.register_forward_pre_hook(forward.before, with_kwargs=True)
        model.register_forward_hook(forward.after, with_kwargs=True, always_call=True)
    return model


def weighed_forward(model: nn.Module) -> WeighedForward | None:
    """Returns what weighs a model; None where the model is not weighted."""
    owners = (getattr(hook, "__self__", None) for hook in model._forward_pre_hooks.values())
    return next((owner for owner in owners if isinstance(owner, WeighedForward)), None)

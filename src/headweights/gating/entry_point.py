"""Entry points: the functions through which predictions enter a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from headweights.errors import WeightError
from headweights.gating.gate import as_tensor
from headweights.gating.layouts import Layout, by_dimension, first_trained
from headweights.gating.matching import WHOLE, Matching, WeightTables


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """A function through which predictions enter a loss, and what is known about its arguments.

    Args:
        objects: How its predictions are matched to objects; or why objects cannot have weights of their own, as the end of a
            sentence.
        layout: Which part of a prediction belongs to which image. Default: images lie along the first dimension.
        layouts: The layouts of those arguments that have a different one.
        predictions: The arguments that are predictions. Default: all whose tensors require a gradient.
        handed_on: Arguments that this loss does not use. They are stored for another head, which weighs them.
        feeds: For each argument that feeds one loss only, and feeds it alone, the name of that loss. It can have its own weight.
    """

    objects: Matching | str
    layout: Layout = field(default=by_dimension(0))
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    predictions: Sequence[str] | None = None
    handed_on: Sequence[str] = ()
    feeds: Mapping[str, str] = field(default_factory=dict)

    def gate_by_image(
        self,
        arguments: MutableMapping[str, Any],
        weights: Callable[[str], Sequence[float] | None],
        subject: str,
        tensor: Callable[[Sequence[float], Tensor], Tensor] = as_tensor,
    ) -> None:
        """Replaces the predictions among a loss function's arguments by ones that are gated image by image.

        Args:
            arguments: The function's arguments by name.
            weights: Given the name of a loss, or WHOLE, returns one weight per image; None if all of them are 1.
            subject: What errors call the function, such as ``"RetinaHead.loss_by_feat"``.
            tensor: Makes a tensor of weights, on the device of another tensor.

        Raises:
            WeightError: An argument cannot be divided between the images.
        """
        for name, like in self._trained(arguments).items():
            given = weights(self.feeds.get(name, WHOLE))
            if given is None:
                continue
            try:
                arguments[name] = self.layouts.get(name, self.layout)(arguments[name], tensor(given, like), arguments)
            except (ValueError, IndexError) as error:
                raise WeightError(
                    f"{subject}: the argument {name!r} cannot be divided between the {len(given)} images of the batch: {error}"
                ) from error

    def gated_by_object(
        self, head: Any, arguments: MutableMapping[str, Any], tables: Callable[[str], WeightTables | None]
    ) -> AbstractContextManager[None] | None:
        """Returns a context that gates the predictions object by object; None if the weights depend on the images alone.

        Args:
            head: The head or model that computes the loss.
            arguments: The loss function's arguments by name. When the context is entered, predictions are replaced by gated ones.
            tables: Given the name of a loss, or WHOLE, returns its weight tables; None if the weights depend on the images alone.
                It raises an error if there are weights per object and `objects` is a reason why there cannot be.
        """
        if not isinstance(self.objects, Matching):
            tables(WHOLE)
            return None
        losses = {name: self.feeds.get(name, WHOLE) for name in self._trained(arguments)}
        if self.objects.gates_inside:
            losses[WHOLE] = WHOLE
        by_name = {name: found for name, loss in losses.items() if (found := tables(loss)) is not None}
        return self.objects.gated(head, arguments, by_name) if by_name else None

    def _trained(self, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
        """Finds the arguments to gate, and in each the first tensor that requires a gradient."""
        names = [
            name for name in arguments if name not in self.handed_on and (self.predictions is None or name in self.predictions)
        ]
        return {name: like for name in names if (like := first_trained(arguments[name])) is not None}

"""Matching: which object each prediction is matched to.

A loss receives its predictions before it matches them. So the gate is put on the predictions at once, and asks for the weights in
the backward pass (:func:`headweights.gating.gate.gate_gradient_later`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from headweights.gating.gate import gate_gradient_later

# Stands for all losses together, where the name of one loss could be given. No loss has this name.
WHOLE = ""

# One tensor (1 + objects,) per image: the weight of the background, then the weight of each object. Or one of shape (1 + objects,
# classes) for class scores, with a weight for each class.
WeightTables: TypeAlias = Sequence[Tensor]


class Matching(ABC):
    """How a family of heads or models matches predictions to objects."""

    # Whether it also gates what the loss itself predicts. The weight tables of WHOLE are then among those that it is given.
    gates_inside: ClassVar[bool] = False

    def reason_against(self, head: Any) -> str | None:
        """Says why a head of the family, as it is configured, does not match in this way; None if it does."""
        return None

    @abstractmethod
    def gated(
        self, head: Any, arguments: MutableMapping[str, Any], tables: Mapping[str, WeightTables]
    ) -> AbstractContextManager[None]:
        """Gates the predictions among a loss function's arguments, object by object. Compute the loss inside the context.

        Args:
            head: The head or model that computes the loss.
            arguments: The loss function's arguments by name. Predictions are replaced by gated ones.
            tables: For each argument to gate, its weight tables.
        """


class MatchedQueries:
    """The object that each query is matched to, in every decoder layer of every image.

    Attributes:
        numbers: One tensor (queries,) per layer and image, all images of a layer in a row: the 1-based number of each query's
            object, 0 or less for none. Append to it as queries are matched.
    """

    def __init__(self) -> None:
        self.numbers: list[Tensor] = []

    def rows(self, tables: WeightTables, start: int | None = None) -> Tensor:
        """Looks up the weight of each query of a layer, shape (images, queries) or (images, queries, classes).

        Args:
            tables: The weight tables of the images.
            start: Where in `numbers` the layer starts. Default: the layer that was matched last.
        """
        start = len(self.numbers) - len(tables) if start is None else start
        layer = zip(tables, self.numbers[start : start + len(tables)])
        # Numbers beyond the objects are stuff classes: regions of the image and not objects.
        return torch.stack([table[torch.where(numbers < len(table), numbers, 0).clamp(min=0)] for table, numbers in layer])

    def gate(self, prediction: Tensor, tables: WeightTables) -> Tensor:
        """Gates a prediction (images, queries, ...) of the layer that is matched next."""
        start, dimensions = len(self.numbers), prediction.ndim

        def weights() -> Tensor:
            rows = self.rows(tables, start)
            return rows.view(*rows.shape, *[1] * (dimensions - rows.ndim))

        return gate_gradient_later(prediction, weights)

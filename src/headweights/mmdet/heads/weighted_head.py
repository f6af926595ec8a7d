"""What every weighted head has, whatever its mechanism."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Any

from torch import nn

# Reasons why a head cannot give each object a weight of its own. A semantic head weighs the image instead.
NO_OBJECTS = "it learns a map of the whole image and no objects"
NOT_KNOWN = "how it matches its predictions to objects is unknown"


class WeightedHead(nn.Module, metaclass=ABCMeta):
    """A head whose losses are weighted. Each mechanism is a subclass, which is mixed into a stock head.

    Attributes:
        loss_methods: The methods through which the head's predictions enter its loss
            (:mod:`headweights.mmdet.weighting.entry_points`).
    """

    loss_methods: tuple[Any, ...] = ()

    @staticmethod
    @abstractmethod
    def fits(head_class: Any) -> bool:
        """Whether this mechanism is exact for a class of heads."""

    @classmethod
    def namespace(cls, head_class: type) -> dict[str, Any]:
        """Returns what the weighted subclass of a head defines beyond what it inherits."""
        return {}

    @property
    @abstractmethod
    def addressable_losses(self) -> tuple[str, ...]:
        """The losses that can have a weight of their own, by the names that the head gives their modules."""

    @property
    @abstractmethod
    def logs_weighted(self) -> bool:
        """Whether the losses that the head returns, and so the log, include the weights. Otherwise only the gradients do."""

    @property
    @abstractmethod
    def reason_no_objects(self) -> str | None:
        """Why the head cannot give each object a weight of its own, as the end of a sentence. None where it can."""

    @property
    @abstractmethod
    def losses_with_background(self) -> tuple[str, ...]:
        """Those of its losses that learn from predictions that are matched to no object; ``''`` where none can be addressed."""


def reason_no_objects(head: nn.Module) -> str | None:
    """Returns why a head, weighted or stock, cannot give each object a weight of its own. None where it can."""
    return head.reason_no_objects if isinstance(head, WeightedHead) else "it is a stock head and reads no weights"

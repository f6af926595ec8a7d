"""What the data sets weigh at this moment, for each model that is being trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import nn

from headweights.errors import WeightError
from headweights.weights.addresses import Address


@dataclass(frozen=True)
class InForce:
    """The weights of a run at one moment.

    Args:
        datasets: The weights of each data set by address. An address without a weight weighs 1. Empty where no mix is weighed.
        scales: A factor on all weights of a loss, by (head path, loss). Default: 1.
    """

    datasets: Mapping[str, Mapping[Address, float]] = field(default_factory=dict)
    scales: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def weights_of(self, dataset: str | None) -> Mapping[Address, float]:
        """Returns the weights of a data set.

        Raises:
            WeightError: Data sets are weighed and this is none of them. The message is the end of a sentence about the image.
        """
        if self.datasets and dataset not in self.datasets:
            names = ", ".join(map(repr, self.datasets))
            if dataset is not None:
                raise WeightError(f"is of data set {dataset!r}, but the loss weights in force are those of {names}.")
            raise WeightError(
                f"does not say which data set it is of, but loss weights by data set are in force ({names}). A step that builds "
                "its annotations anew has lost the name."
            )
        return self.datasets.get(dataset, {}) if dataset is not None else {}


_NOTHING = InForce()
_by_model: WeakKeyDictionary[nn.Module, InForce] = WeakKeyDictionary()


def put_in_force(model: nn.Module, weights: InForce | None) -> None:
    """Sets what the data sets weigh from now on in the losses of a model; None to weigh nothing."""
    if weights is None:
        _by_model.pop(model, None)
    else:
        _by_model[model] = weights


def in_force(model: nn.Module) -> InForce:
    """Returns what the data sets weigh now in the losses of a model."""
    return _by_model.get(model, _NOTHING)

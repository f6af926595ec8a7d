"""What the data sets weigh at this moment, for each model that is being trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import nn

from headweights.batch.batch import PartWeights
from headweights.errors import WeightError
from headweights.weights.addresses import Address


@dataclass(frozen=True)
class InForce:
    """The weights of a run at one moment.

    Args:
        datasets: The weights of each data set by address. An address without a weight weighs 1. Empty where no mix is weighed.
        scales: A factor on all weights of a loss, by (head path, loss). Default: 1.
        unlabelled: The classes that each data set does not label, as indices. Default: none.
        classifying: The paths of the heads that leave these classes out. Default: none.
    """

    datasets: Mapping[str, Mapping[Address, float]] = field(default_factory=dict)
    scales: Mapping[tuple[str, str], float] = field(default_factory=dict)
    unlabelled: Mapping[str, frozenset[int]] = field(default_factory=dict)
    classifying: frozenset[str] = frozenset()

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

    def part(self, dataset: str | None, own: Mapping[Address, float], share: float = 1.0) -> PartWeights:
        """Returns what an image of a data set weighs, or a part of one.

        Args:
            dataset: The name of the data set. None where it has none.
            own: The image's own weights.
            share: The part's share of the image's area. Default: 1.

        Raises:
            WeightError: See :meth:`weights_of`.
        """
        unlabelled = self.unlabelled.get(dataset, frozenset()) if dataset is not None else frozenset()
        return PartWeights(self.weights_of(dataset), own, share, unlabelled)


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

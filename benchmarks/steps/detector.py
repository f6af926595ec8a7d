"""A detector whose training step is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from headweights.batch.in_force import put_in_force
from headweights.mixture.mix import DataSet, Mix, Moment
from headweights.weights.addresses import Address, AddressBook
from headweights.weights.schedules import Constant

# Is called with the number of the step.
Step = Callable[[int], None]

SIZE = 128


class Detector(ABC):
    """A detector whose training step is measured: of full depth, with few channels, on random images of `SIZE` pixels.

    Args:
        name: Its name in its framework's zoo.
    """

    framework: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def build(self) -> nn.Module:
        """Returns the stock model, the same each time."""

    @abstractmethod
    def weigh(self, model: nn.Module) -> AddressBook:
        """Makes a model weighted in place, and returns the addresses that it reads."""

    @abstractmethod
    def batch(self, model: nn.Module, images: int) -> Any:
        """Returns a batch of a number of images."""

    @abstractmethod
    def name_data_sets(self, batch: Any, names: Sequence[str]) -> None:
        """Writes the name of its data set to each image of a batch."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Computes the sum of all losses of a batch."""

    def stock(self, images: int) -> Step:
        """Returns a step of the stock model."""
        model = self.build()
        batch = self.batch(model, images)

        def step(number: int) -> None:
            model.zero_grad()
            self.loss(model, batch).backward()

        return step

    def weighted(self, images: int, data_sets: int) -> Step:
        """Returns a step of the weighted model, with images from a mix of data sets, taken from it in turn."""
        model = self.build()
        mix = mix_of(self.weigh(model), data_sets)
        batch = self.batch(model, images)
        names = list(mix.datasets)

        def step(number: int) -> None:
            put_in_force(model, mix.in_force(Moment(number)))
            self.name_data_sets(batch, [names[(number * images + index) % data_sets] for index in range(images)])
            model.zero_grad()
            self.loss(model, batch).backward()

        return step


def mix_of(book: AddressBook, data_sets: int) -> Mix:
    """Returns a mix of data sets, each with a weight of its own in every loss that can be addressed; no weight is 1."""
    addresses = [Address(head, loss or None) for head, loss in book.terms]
    block = {
        f"data set {number}": {
            address: Constant(0.15 + (7 * number + index) % 50 / 10) for index, address in enumerate(addresses)
        }
        for number in range(data_sets)
    }
    return Mix([DataSet(name, images=100, drawn=100) for name in block], book, block)

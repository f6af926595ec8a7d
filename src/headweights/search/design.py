"""Two-level screening designs (Plackett and Burman, "The Design of Optimum Multifactorial Experiments", Biometrika 1946).

Every run sets each factor to its low or high level, so that every pair of factors has all four combinations equally often. So the
effect of every factor is the difference of two means over all runs, whatever the others are set to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pyDOE3 import pbdesign

from headweights.errors import WeightError

# The numbers of runs for which there is a construction, each times a power of two.
_BASES = (4, 12, 20)
_MOST_RUNS = 1 << 12
# In larger designs, there are too many pairs of columns to choose among.
_MOST_CHOSEN = 32


@dataclass(frozen=True)
class Factor:
    """A number to be chosen, and the two levels at which it is tried.

    Args:
        name: Its name.
        low: Its lower level. Default: 0.1, as for a loss weight.
        high: Its higher level. Default: 1.

    Raises:
        WeightError: The levels are not two different finite numbers.
    """

    name: str
    low: float = 0.1
    high: float = 1.0

    def __post_init__(self) -> None:
        levels = self.low, self.high
        if not self.name or not all(isinstance(level, (int, float)) and np.isfinite(level) for level in levels):
            raise WeightError(f"factor {self.name!r} has the levels {levels}; it needs a name and two finite numbers.")
        if self.low >= self.high:
            raise WeightError(f"factor {self.name!r}: low is {self.low:g} and high is {self.high:g}; low must be smaller.")


@dataclass(frozen=True)
class Design:
    """The smallest screening design with at least one column to spare. Its runs do not depend on each other.

    Args:
        factors: The factors.
        fold_over: Whether every run is repeated with all levels swapped. This doubles the runs, and no interaction of two factors
            can look like the effect of a third. Default: False.

    Raises:
        WeightError: There is no factor, or two have the same name.
    """

    factors: Sequence[Factor]
    fold_over: bool = False

    def __post_init__(self) -> None:
        names = self.names
        if not names or len(set(names)) < len(names):
            raise WeightError(f"a screening needs factors with different names; it has {', '.join(map(repr, names)) or 'none'}.")

    @property
    def names(self) -> list[str]:
        """The names of the factors."""
        return [factor.name for factor in self.factors]

    @cached_property
    def signs(self) -> NDArray[np.int64]:
        """-1 for low and 1 for high, shape (runs, columns): a column for each factor, in order, then the spare ones."""
        signs = np.asarray(pbdesign(_columns(len(self.factors)))).astype(np.int64)
        chosen = _least_mixed(signs, len(self.factors))
        signs = signs[:, [*chosen, *(column for column in range(signs.shape[1]) if column not in chosen)]]
        return np.concatenate([signs, -signs]) if self.fold_over else signs

    @property
    def runs(self) -> list[dict[str, float]]:
        """The level of every factor in every run, by name."""
        levels = [(factor.name, factor.low, factor.high) for factor in self.factors]
        return [{name: high if sign > 0 else low for (name, low, high), sign in zip(levels, row)} for row in self.signs]

    def mixed_with(self, name: str) -> Mapping[tuple[str, str], float]:
        """Returns the pairs of other factors whose interaction looks like the effect of a factor.

        Args:
            name: The factor.

        Returns:
            For each pair, the part of its interaction that adds to the effect: from -1 to 1, without zeros.
        """
        return self._interactions_in(self.names.index(name))

    def mixed_with_spare(self, number: int) -> Mapping[tuple[str, str], float]:
        """Returns the pairs of factors whose interaction looks like the effect of a spare column, as :meth:`mixed_with` does.

        Args:
            number: The number of the spare column, from 0.
        """
        return self._interactions_in(len(self.names) + number)

    def _interactions_in(self, column: int) -> dict[tuple[str, str], float]:
        """The pairs of other factors whose interaction adds to the effect of a column, and how much of it."""
        of = {name: self.signs[:, number] for number, name in enumerate(self.names) if number != column}
        shares = {(one, other): float(np.mean(self.signs[:, column] * of[one] * of[other])) for one, other in combinations(of, 2)}
        return {pair: share for pair, share in shares.items() if share}


def _least_mixed(signs: NDArray[np.int64], factors: int) -> list[int]:
    """The columns for the factors: without those, one after the other, whose effects look most like interactions of others."""
    left = list(range(signs.shape[1]))
    while len(left) > factors and len(signs) <= _MOST_CHOSEN:
        columns = signs[:, left]
        pairs = np.array([columns[:, one] * columns[:, other] for one, other in combinations(range(len(left)), 2)])
        # A pair with the column itself adds nothing: the columns are balanced.
        mixed = np.abs(pairs @ columns).sum(axis=0)
        del left[max(range(len(left)), key=lambda place: (mixed[place], place))]
    return left[:factors]


def _columns(factors: int) -> int:
    """The number of columns, one less than the runs, of the smallest design with a column to spare."""
    sizes = sorted(base << power for base in _BASES for power in range(11) if base << power <= _MOST_RUNS)
    for runs in sizes:
        if runs - 1 > factors:
            return runs - 1
    raise WeightError(f"a screening of {factors} factors would take more than {_MOST_RUNS} runs.")

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
        columns = _columns(len(self.factors))
        signs = np.asarray(pbdesign(columns)).astype(np.int64)
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
        column = {factor: self.signs[:, number] for number, factor in enumerate(self.names)}
        others = [factor for factor in self.names if factor != name]
        shares = {
            (one, other): float(np.mean(column[name] * column[one] * column[other])) for one, other in combinations(others, 2)
        }
        return {pair: share for pair, share in shares.items() if share}


def _columns(factors: int) -> int:
    """The number of columns, one less than the runs, of the smallest design with a column to spare."""
    sizes = sorted(base << power for base in _BASES for power in range(11) if base << power <= _MOST_RUNS)
    for runs in sizes:
        if runs - 1 > factors:
            return runs - 1
    raise WeightError(f"a screening of {factors} factors would take more than {_MOST_RUNS} runs.")

"""The effects of factors on the result of a screening, and which of them are more than noise.

The noise is estimated from the effects themselves, as few factors matter in most screenings (Lenth, "Quick and Easy Analysis of
Unreplicated Factorials", Technometrics 1989). The spare columns of the design, which nothing was set by, take part like factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from headweights.errors import WeightError
from headweights.search.design import Design

_CONFIDENCE = 0.95
# Results of a model without noise differ by rounding, relative to their size.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Effect:
    """What a factor does to the result.

    Args:
        name: The factor.
        size: The mean result at its high level, less that at its low level.
        matters: Whether this is more than noise.
    """

    name: str
    size: float
    matters: bool


@dataclass(frozen=True)
class Effects:
    """The effects of all factors of a design.

    Args:
        design: The design.
        results: The result of each run, in the order of the design's runs. More is better.

    Raises:
        WeightError: A result is missing or no finite number.
    """

    design: Design
    results: Sequence[float]

    def __post_init__(self) -> None:
        runs = len(self.design.signs)
        if len(self.results) != runs or not np.isfinite(np.asarray(self.results, dtype=float)).all():
            raise WeightError(f"a screening of {runs} runs needs {runs} finite results; it has {list(self.results)}.")

    @cached_property
    def _sizes(self) -> list[float]:
        """The effect of every column."""
        signs = self.design.signs
        return list(2 * signs.T @ np.asarray(self.results, dtype=float) / len(signs))

    @property
    def spare(self) -> list[float]:
        """The effects of the spare columns: what noise, and interactions of factors, look like."""
        return self._sizes[len(self.design.factors) :]

    @cached_property
    def margin(self) -> float:
        """The size up to which an effect is within noise: Lenth's margin of error for a confidence of 95 %."""
        sizes = np.abs(self._sizes)
        first = 1.5 * np.median(sizes)
        kept = sizes[sizes < 2.5 * first]
        error = 1.5 * np.median(kept) if len(kept) else 0.0
        rounding = _ROUNDING * np.abs(np.asarray(self.results, dtype=float)).max()
        return float(max(stats.t.ppf((1 + _CONFIDENCE) / 2, len(sizes) / 3) * error, rounding))

    @cached_property
    def by_name(self) -> Mapping[str, Effect]:
        """The effect of each factor, the largest first."""
        found = [Effect(name, size, abs(size) > self.margin) for name, size in zip(self.design.names, self._sizes)]
        return {effect.name: effect for effect in sorted(found, key=lambda effect: -abs(effect.size))}

    def best(self, otherwise: float | None = 1.0) -> dict[str, float]:
        """Returns the better level of each factor that matters.

        Args:
            otherwise: What the others get. None for their better level too. Default: 1.
        """
        chosen = {}
        for factor in self.design.factors:
            effect = self.by_name[factor.name]
            better = factor.high if effect.size >= 0 else factor.low
            chosen[factor.name] = better if effect.matters or otherwise is None else otherwise
        return chosen

    def doubts(self, name: str) -> list[tuple[str, str]]:
        """Returns the pairs of factors that matter themselves, and whose interaction looks like the effect of a factor."""
        return self._that_matter(self.design.mixed_with(name))

    def together(self) -> Mapping[float, list[tuple[str, str]]]:
        """Returns the effects of spare columns that are more than noise: factors act differently together than alone.

        Returns:
            For each of these effects, the pairs of factors that matter themselves, and whose interaction looks like it.
        """
        return {
            size: self._that_matter(self.design.mixed_with_spare(number))
            for number, size in enumerate(self.spare)
            if abs(size) > self.margin
        }

    def _that_matter(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        return [pair for pair in pairs if all(self.by_name[name].matters for name in pair)]

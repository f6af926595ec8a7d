"""Screens the factors of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from headweights.search.design import Design, Factor
from headweights.search.effects import Effects


@dataclass(frozen=True)
class Screening:
    """The result of a screening.

    Args:
        effects: What each factor did.
        best: The better level of each factor that matters; 1, or the `otherwise` given, for the others.
    """

    effects: Effects
    best: Mapping[str, float]

    def __str__(self) -> str:
        return "\n".join(in_words(self.effects))

    def table(self) -> Table:
        """Returns the effects as a table, the largest first."""
        table = Table(title=f"Effects in {len(self.effects.results)} runs", caption=_margin_in_words(self.effects))
        for heading in ("factor", "from", "to", "effect", ""):
            table.add_column(heading, justify="right" if heading in ("from", "to", "effect") else "left")
        levels = {factor.name: factor for factor in self.effects.design.factors}
        for effect in self.effects.by_name.values():
            factor = levels[effect.name]
            style = "bold" if effect.matters else "dim"
            matters = "" if effect.matters else "within noise"
            table.add_row(effect.name, f"{factor.low:g}", f"{factor.high:g}", f"{effect.size:+.3g}", matters, style=style)
        for number, size in enumerate(self.effects.spare, 1):
            table.add_row(f"spare column {number}", "", "", f"{size:+.3g}", "nothing was set by it", style="dim")
        return table


def screen(
    train: Callable[[dict[str, float]], float],
    factors: Sequence[Factor] | Mapping[str, tuple[float, float]],
    fold_over: bool = False,
    otherwise: float | None = 1.0,
) -> Screening:
    """Finds out which of several numbers matter, by few trainings.

    .. code:: python

        found = screen(train, {"synthetic: loss_ce": (0.1, 1.0), "synthetic: loss_bbox": (0.1, 1.0)})
        print(found)
        train(found.best)

    The trainings do not depend on each other. To run them elsewhere, take them from ``Design(factors).runs`` and give their
    results to :class:`Effects`.

    Args:
        train: Trains with a value for each factor, by name, and returns the result. More is better. It should return nearly the
            same each time; give all runs the same seed.
        factors: The factors, or the low and the high level of each by name.
        fold_over: Whether to take twice as many runs, which separates effects from interactions of two factors. Default: False.
        otherwise: What factors get that do not matter. None for their better level too. Default: 1.

    Raises:
        WeightError: The factors are invalid, or a result is no finite number.
    """
    if isinstance(factors, Mapping):
        factors = [Factor(name, *levels) for name, levels in factors.items()]
    design = Design(factors, fold_over)
    effects = Effects(design, [float(train(run)) for run in design.runs])
    return Screening(effects, effects.best(otherwise))


def in_words(effects: Effects) -> Iterator[str]:
    """Yields sentences that say which factors matter, which way, and what cannot be told."""
    levels = {factor.name: factor for factor in effects.design.factors}
    matter = [effect for effect in effects.by_name.values() if effect.matters]
    for effect in matter:
        factor = levels[effect.name]
        better, worse = (factor.high, factor.low) if effect.size > 0 else (factor.low, factor.high)
        yield f"{effect.name}: {better:g} instead of {worse:g} gains {abs(effect.size):.3g}."
    others = [name for name, effect in effects.by_name.items() if not effect.matters]
    if others:
        yield f"{'Everything else is' if matter else 'Everything is'} within noise: {', '.join(others)}."
    yield _margin_in_words(effects)
    for size, pairs in effects.together().items():
        which = _pairs_in_words(pairs) or "some of them"
        yield f"The {size:+.3g} of a spare column is more than noise: {which} act differently together than alone."
    for effect in matter:
        doubts = effects.doubts(effect.name)
        if doubts:
            yield (
                f"If {_pairs_in_words(doubts)} act differently together than alone, a part of the effect of {effect.name} is "
                "theirs. A fold-over separates them."
            )


def _pairs_in_words(pairs: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{one} and {other}" for one, other in pairs)


def _margin_in_words(effects: Effects) -> str:
    spare = ", ".join(f"{size:+.3g}" for size in effects.spare)
    return f"An effect up to {effects.margin:.3g} is noise (Lenth's method, 95 %); columns that nothing was set by read {spare}."

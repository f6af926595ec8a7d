"""What each data set gave to each head: its share of the gradient if that was measured, else of the loss, else as expected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from headweights.report.runs.run import Run
from headweights.run_record.log_entries import GRADIENT_SHARE, LOSS_SHARE

# Of a data set in a head, or in a loss of a head.
Place = tuple[str, str]


@dataclass(frozen=True)
class Shares:
    """The shares of a run.

    Args:
        of: What they are shares of: "the gradient".
        by_place: The shares, 0 to 1, by data set and head or loss.
        measurements: How many steps they are the mean of. None if nothing was measured.
    """

    of: str = ""
    by_place: dict[Place, float] = field(default_factory=dict)
    measurements: int | None = None


def shares_of(runs: Sequence[Run]) -> list[Shares]:
    """The shares of each run, of the first of these quantities that some run has: gradient, loss, images times weight."""
    measured = ((GRADIENT_SHARE, "the gradient"), (LOSS_SHARE, "the weighted loss"))
    for found in (*([_measured(run, quantity, of) for run in runs] for quantity, of in measured), list(map(_expected, runs))):
        if any(shares.by_place for shares in found):
            return found
    return [Shares() for _ in runs]


def _measured(run: Run, quantity: str, of: str) -> Shares:
    """The means over all measured steps. A data set that was not in the batch has no entry there: its share is 0."""
    sums: dict[Place, float] = defaultdict(float)
    steps: dict[str, set[int]] = defaultdict(set)
    for entry, curve in run.log.entries.items():
        if entry.quantity == quantity:
            sums[entry.dataset, entry.term] += sum(curve.finite)
            steps[entry.term].update(step for step, value in zip(curve.steps, curve.values) if value is not None)
    means = {(name, term): total / len(steps[term]) for (name, term), total in sums.items() if steps[term]}
    return Shares(of, means, max(map(len, steps.values()), default=None))


def _expected(run: Run) -> Shares:
    """The shares in the record."""
    rows = ((row.dataset, ".".join(filter(None, (row.head, row.loss))), row.share) for row in run.table)
    return Shares("the images times their weights", {(name, place): share for name, place, share in rows if share is not None})

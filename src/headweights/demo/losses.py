"""What a head's loss was on each data set, raw and with its weights, as a run logged it."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from headweights.run_record.log_entries import RAW_LOSS, WEIGHTED_LOSS

# The mean over so many of the last measurements: one is of one batch.
LAST = 6


@dataclass(frozen=True)
class HeadLoss:
    """The loss of one head on one data set, towards the end of a run.

    Args:
        dataset: Name of the data set.
        head: The head's path.
        weight: The weight of the data set's images in that head.
        raw: The head's loss, classification and boxes, as if all weights were 1.
        weighted: The same with the weights.
    """

    dataset: str
    head: str
    weight: float
    raw: float
    weighted: float


def losses_by_head(log: Path) -> list[HeadLoss]:
    """Reads what :class:`headweights.mmdet.ContributionHook` logged.

    Args:
        log: The ``scalars.json`` of a run.
    """
    measured: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for line in log.read_text(encoding="utf-8").splitlines():
        sums: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for name, value in json.loads(line).items():
            quantity, _, rest = name.partition("/")
            if quantity in (RAW_LOSS, WEIGHTED_LOSS):
                term, _, dataset = rest.partition("/")
                sums[dataset, term.rpartition(".")[0]][quantity] += value
        for key, losses in sums.items():
            measured[key].append(losses)
    found = []
    for (dataset, head), rows in sorted(measured.items()):
        raw, weighted = (sum(row[quantity] for row in rows[-LAST:]) / len(rows[-LAST:]) for quantity in (RAW_LOSS, WEIGHTED_LOSS))
        found.append(HeadLoss(dataset, head, weighted / raw if raw else 0.0, raw, weighted))
    return found

"""Numbers, weights, gradients and lists in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from headweights.contributions.words import opposing
from headweights.report.runs.run import Run
from headweights.run_record.log_entries import GRADIENT_COSINE, split_pair
from headweights.run_record.schema import DataSetRecord, ScheduleRecord, WeightRecord
from headweights.weights.addresses import listed

_T = TypeVar("_T")

# Shown if there is no value.
NOTHING = "\N{EN DASH}"
_CLASSES_SHOWN = 8
_FULL = "full weight in every head"

_FRACTIONS = {
    0.0: "no weight",
    0.01: "one hundredth",
    0.02: "one fiftieth",
    0.05: "one twentieth",
    0.1: "one tenth",
    0.2: "one fifth",
    0.25: "one quarter",
    0.3: "three tenths",
    1 / 3: "one third",
    0.4: "two fifths",
    0.5: "half",
    0.6: "three fifths",
    2 / 3: "two thirds",
    0.75: "three quarters",
    0.8: "four fifths",
    0.9: "nine tenths",
    1.0: "full weight",
    2.0: "double weight",
    3.0: "three times",
}
_LOSSES = {
    "loss_cls": "classification",
    "loss_rpn_cls": "classification",
    "loss_bbox": "boxes",
    "loss_rpn_bbox": "boxes",
    "loss_mask": "masks",
    "loss_iou": "IoU",
    "loss_centerness": "centreness",
    "loss_obj": "objectness",
    "loss_dfl": "distribution focal loss",
}


def number(value: float | None) -> str:
    """Formats a number: an integer with thousands separators, any other number with four significant digits."""
    if value is None:
        return NOTHING
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(share: float | None) -> str:
    """Formats a share in [0, 1] as a percentage, with one decimal place below ten per cent."""
    if share is None:
        return NOTHING
    return f"{share:.1%}" if 0 < abs(share) < 0.0995 else f"{share:.0%}"


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def weight_in_words(weight: float) -> str:
    """`0.2` -> 'one fifth (0.2)'; `0.37`, which has no word, -> '0.37 times'."""
    for value, word in _FRACTIONS.items():
        if abs(weight - value) <= 1e-3 * value:
            return f"{word} ({number(weight)})" if weight != 1 else word
    return f"{number(weight)} times"


def schedule_in_words(schedule: ScheduleRecord) -> str:
    """`cosine` from 1 to 0.1 -> 'from 1 to 0.1 over epochs 0 to 12 (cosine)'."""
    if not schedule.points:
        return f"by schedule ({schedule.schedule})"
    (begin, first), (end, last) = schedule.points[0], schedule.points[-1]
    unit = {"epoch": "epochs", "iter": "iterations", "iteration": "iterations"}.get(schedule.by, schedule.by)
    between = ", ".join(number(weight) for _, weight in schedule.points[1:-1])
    through = f" through {between}" if between and len(schedule.points) <= 6 else ""
    span = f"over {unit} {number(begin)} to {number(end)}".replace("over  ", "over ")
    return f"from {number(first)}{through} to {number(last)} {span} ({schedule.schedule})"


def of_head(by_loss: Mapping[str, _T]) -> tuple[_T | None, dict[str, _T]]:
    """Separates what holds for a whole head from what holds for single losses.

    Args:
        by_loss: The values of a head by loss; that of the whole head at ``''``, if it has one.

    Returns:
        The value of the whole head, else the one that all losses have, else None; and the losses with another value.
    """
    common = by_loss.get("")
    if common is None and len(set(by_loss.values())) == 1:
        common = next(iter(by_loss.values()))
    return common, {loss: value for loss, value in by_loss.items() if loss and value != common}


def dataset_in_words(table: Sequence[WeightRecord], dataset: str) -> str:
    """The weights of a data set, e.g. 'one fifth (0.2) in roi_head; its classification one twentieth (0.05)'."""
    heads: dict[str, dict[str, str]] = {}
    for row in table:
        if row.dataset == dataset:
            heads.setdefault(row.head, {})[row.loss] = _row_in_words(row)
    if not heads:
        return "no weights recorded"
    phrases: list[str] = []
    full: list[str] = []
    found = {head: of_head(by_loss) for head, by_loss in heads.items()}
    if len(heads) > 1 and len({common for common, _ in found.values()}) == 1 and not any(other for _, other in found.values()):
        return f"{next(iter(found.values()))[0]} in every head"
    for head, (common, differing) in found.items():
        parts = [f"its {_LOSSES.get(loss, loss)} {words}" for loss, words in differing.items()]
        if common == "full weight" and not parts:
            full.append(head)
        elif common is None:
            phrases.append(f"in {head} " + ", ".join(parts))
        else:
            phrases.append("; ".join([f"{common} in {head}", *parts]))
    if not phrases:
        return _FULL
    if full:
        phrases.append("full weight in " + (", ".join(full) if len(full) <= 2 else "every other head"))
    return "; ".join(phrases)


def changed_weights(run: Run) -> dict[str, str]:
    """The weights and labels in words of those data sets of a run that do not count fully in every head."""
    labels = {dataset.name: labels_in_words(dataset) for dataset in run.record.datasets}
    words = {name: (dataset_in_words(run.table, name), labels.get(name, "")) for name in run.datasets}
    return {name: ". It ".join(filter(None, of_one)) for name, of_one in words.items() if of_one != (_FULL, "")}


def _row_in_words(row: WeightRecord) -> str:
    words = schedule_in_words(row.schedule) if row.schedule else weight_in_words(row.weight)
    return words if row.background is None else f"{words} for objects and {weight_in_words(row.background)} for background"


def labels_in_words(dataset: DataSetRecord) -> str:
    """Which classes a data set labels, e.g. 'labels only car' or 'does not label dog, cat'. Empty if it labels all of them."""
    labelled = dataset.labelled
    missing = [name for name in dataset.classes if name not in (labelled or ())]
    if labelled is None or (dataset.classes and not missing):
        return ""
    if not labelled:
        return "labels no class"
    if missing and len(missing) < len(labelled):
        return f"does not label {listed(missing, _CLASSES_SHOWN)}"
    return f"labels only {listed(labelled, _CLASSES_SHOWN)}"


def opposed_gradients(run: Run) -> list[tuple[tuple[str, str], str]]:
    """Finds pairs of data sets whose gradients oppose each other, with a sentence for each."""
    cosines = {
        (entry.term, *split_pair(entry.dataset, run.datasets)): curve.finite
        for entry, curve in run.log.entries.items()
        if entry.quantity == GRADIENT_COSINE
    }
    return [((found.one, found.other), str(found)) for found in opposing(cosines, run.record.target)]

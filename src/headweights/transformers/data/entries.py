"""Writes the name of a data set and an image's own weights into an item of a data set, and on into a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headweights.errors import WeightError
from headweights.images.image import checked_weights
from headweights.transformers.weighting.labels import DATASET, IMAGE_WEIGHT, OBJECT_WEIGHTS

_LABELS = "labels"
_ENTRIES = (DATASET, IMAGE_WEIGHT, OBJECT_WEIGHTS)


def labelled(item: Any, dataset: str, own: Mapping[str, float]) -> Any:
    """Returns an item of a data set with its name and its image's own weights.

    They are written into the item's label dict, ``item['labels']`` or, of a pair (image, target), the target. In an item without
    one they are written into the item itself, and :class:`Collate` hands them on.

    Args:
        item: What the data set returned. It is not changed.
        dataset: The name of the data set.
        own: The image's own weights by target. They win over the item's own for the same target.

    Raises:
        WeightError: There is no place for them in the item, or it names another data set.
    """
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Mapping):
        return (item[0], _written(item[1], dataset, own))
    if not isinstance(item, Mapping):
        raise WeightError(
            f"data set {dataset!r} returns a {type(item).__name__}; an item must be a dict, or a pair of an image and a dict, to "
            f"carry the name of its data set. Or write the name into the label dicts in your collator: label[{DATASET!r}] = ..."
        )
    if isinstance(item.get(_LABELS), Mapping):
        carried = copy.copy(item)
        carried[_LABELS] = _written(item[_LABELS], dataset, own)  # type: ignore[index]
        return carried
    return _written(item, dataset, own)


def _written(entries: Mapping[str, Any], dataset: str, own: Mapping[str, float]) -> Any:
    if entries.get(DATASET, dataset) != dataset:
        raise WeightError(f"an image of data set {dataset!r} says that it is of {entries[DATASET]!r}.")
    written: Any = copy.copy(entries)
    written[DATASET] = dataset
    if own:
        before = checked_weights(entries[IMAGE_WEIGHT], f"{IMAGE_WEIGHT} in {dataset!r}") if IMAGE_WEIGHT in entries else {}
        written[IMAGE_WEIGHT] = {**before, **own}
    return written


@dataclass(frozen=True)
class Collate:
    """Collates items whose name and weights are not in a label dict yet, and puts them into the label dicts of the batch.

    It is for collators that make the label dicts themselves, and for models that take none (``MaskFormer``, ``Mask2Former``,
    ``OneFormer``, ``EoMT``).

    Args:
        collate: Your own collator. It does not see the entries of headweights.
    """

    collate: Callable[[list[Any]], Any]

    def __call__(self, items: Sequence[Any]) -> Any:
        entries = [{key: item[key] for key in _ENTRIES if key in item} for item in items]
        batch = self.collate([{key: value for key, value in item.items() if key not in _ENTRIES} for item in items])
        labels = batch.get(_LABELS) or [{} for _ in items]
        batch[_LABELS] = [{**label, **of_item} for label, of_item in zip(labels, entries)]
        return batch

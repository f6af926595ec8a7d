"""Names of the same quantity in the logs of different frameworks, and which metric counts most."""

from __future__ import annotations

from collections.abc import Iterable

# Of mmengine and mmdetection; of transformers' Trainer, whose metrics torchmetrics computes as COCO defines them.
_BETWEEN = " · "
_SAME = {
    "lr": "learning_rate",
    "coco/bbox_mAP": "eval_map",
    "coco/bbox_mAP_50": "eval_map_50",
    "coco/bbox_mAP_75": "eval_map_75",
    "coco/bbox_mAP_s": "eval_map_small",
    "coco/bbox_mAP_m": "eval_map_medium",
    "coco/bbox_mAP_l": "eval_map_large",
}


def by_title(names: Iterable[str]) -> dict[str, list[str]]:
    """Groups the names of the same quantity under a title, e.g. `lr · learning_rate`; any other name is its own title."""
    known = list(dict.fromkeys(names))
    groups: dict[str, list[str]] = {}
    for name in known:
        same = next((list(pair) for pair in _SAME.items() if name in pair), [name])
        there = [one for one in same if one in known]
        groups[_BETWEEN.join(there)] = there
    return groups


def main_metric(names: Iterable[str]) -> tuple[str, list[str]]:
    """Returns the title and names of the mean average precision or, if it is not among the names, of the first one.

    Raises:
        IndexError: There are no names.
    """
    groups = list(by_title(names).items())
    shortest_first = sorted(groups, key=lambda group: min(map(len, group[1])))
    precision = [group for group in shortest_first if "map" in group[1][0].lower()]
    return (precision or groups)[0]

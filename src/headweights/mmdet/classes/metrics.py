"""Which class a metric takes a category of its COCO file for, and how to have that go by name."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from headweights.mmdet.classes.order import Pairs, labels_by_name, mislabelled, names_of


class CategoryIds(list[Any]):
    """The ids of the categories in ascending order, in which COCO's evaluation goes through them. Index i gives that of class i.

    Args:
        of_classes: The ids in the order of the classes.
    """

    def __init__(self, of_classes: Sequence[Any]) -> None:
        super().__init__(sorted(of_classes))
        self.of_classes = of_classes

    def __getitem__(self, label: Any) -> Any:
        return self.of_classes[label]


def mislabelled_by(api: Any, classes: Sequence[str]) -> Pairs:
    """Returns the categories of an open COCO file that a metric takes for another class, and for which."""
    labels = {category: label for label, category in enumerate(api.getCatIds(catNms=list(classes)))}
    return mislabelled(names_of(api), labels, classes)


def number_metric_by_name(metric: Any, metainfo: Mapping[str, Any]) -> None:
    """Makes a metric with an open COCO file go by name. A class that the file lacks is added to it in memory, without objects.

    Args:
        metric: A ``CocoMetric`` or another that keeps its file in ``_coco_api``.
        metainfo: With the ``classes`` of the config.

    Raises:
        WeightError: The file lists two categories with the name of the same class.
    """
    api, classes = metric._coco_api, metainfo["classes"]
    labels = labels_by_name(names_of(api), classes, f"the file of the {type(metric).__name__}")
    category_of = {label: category for category, label in labels.items()}
    unused = itertools.count(max(api.cats, default=0) + 1)
    things = metainfo.get("thing_classes") or ()
    ordered = [
        api.cats[category_of[label]] if label in category_of else dict(id=next(unused), name=name, isthing=int(name in things))
        for label, name in enumerate(classes)
    ]
    ids = [category["id"] for category in ordered]
    # mmdetection's metrics number the classes in this order.
    api.dataset["categories"] = ordered + [category for category in api.dataset["categories"] if category["id"] not in ids]
    api.cats.update(zip(ids, ordered))
    if hasattr(metric, "cat_ids"):
        # OVCocoMetric looks its base and novel classes up only where it has no ids yet.
        metric.cat_ids = None if "base_classes" in metainfo else CategoryIds(ids)

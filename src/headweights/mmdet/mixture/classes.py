"""Finds data sets and metrics that take a class for another, and numbers their classes by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mmdet.datasets import CocoDataset

from headweights.errors import WeightError
from headweights.mixture.settings import BY_NAME
from headweights.mmdet.classes.by_name import CocoMetricByName
from headweights.mmdet.classes.metrics import mislabelled_by, number_metric_by_name
from headweights.mmdet.classes.order import in_words, load_by_name, mislabelled_in
from headweights.mmdet.data.source_datasets import SourceDataset, source_datasets

_REMEDY = f"Number them by name: LossWeightHook(..., classes={BY_NAME!r})"


def number_by_name(dataset: Any) -> None:
    """Loads again, in place, the data sets in a training that label a class as another. They are then labelled by name.

    Raises:
        WeightError: See :func:`headweights.mmdet.classes.order.load_by_name`.
    """
    for source in source_datasets(dataset):
        if mislabelled_in(source.dataset):
            load_by_name(source.dataset)


def wrong_classes(sources: Sequence[SourceDataset], kind: str = "data set") -> list[str]:
    """Says which data sets label a class as another, and what to do about it.

    Args:
        sources: The data sets.
        kind: What they are called. Default: ``'data set'``.
    """
    said = []
    for source in sources:
        pairs = mislabelled_in(source.dataset)
        if pairs:
            types = ", or type='CocoDatasetByName'" if type(source.dataset) is CocoDataset else ""
            said.append(
                f"{kind} {source.known_as} ({source.annotations}): {in_words(pairs)}. mmdetection numbers classes in the order "
                f"of the annotation file and skips those that it lacks, whatever metainfo['classes'] says. {_REMEDY}{types}."
            )
    return said


def wrong_evaluation(dataset: Any, metrics: Iterable[Any], classes: str | None = None) -> list[str]:
    """Says which data sets and metrics of a validation or a test take a class for another, and what to do about it.

    Args:
        dataset: The data set, wrapped to any depth.
        metrics: The metrics. A metric that reads a COCO file of its own numbers classes in the order of that file too.
        classes: ``'by name'`` to number their classes by name first, in place. Default: None.

    Raises:
        WeightError: See :func:`headweights.mmdet.classes.order.load_by_name`.
    """
    if classes == BY_NAME:
        number_by_name(dataset)
    said = wrong_classes(source_datasets(dataset), "validation data set")
    for metric in metrics:
        name, api = type(metric).__name__, getattr(metric, "_coco_api", None)
        metainfo = getattr(metric, "dataset_meta", None) or getattr(dataset, "metainfo", None) or {}
        if api is None or isinstance(metric, CocoMetricByName) or not isinstance(metainfo.get("classes"), (tuple, list)):
            continue
        if classes == BY_NAME:
            number_metric_by_name(metric, metainfo)
        pairs = mislabelled_by(api, metainfo["classes"])
        if pairs:
            types = ", or type='CocoMetricByName'" if name == "CocoMetric" else ""
            said.append(
                f"{name}: {in_words(pairs, 'counts as')}. It numbers classes in the order of its ann_file and skips those "
                f"that it lacks. {_REMEDY}{types}."
            )
    return said


def evaluation_problems(loop: Any, classes: str | None = None) -> list[str]:
    """Returns :func:`wrong_evaluation` of a loop; nothing where there is no loop."""
    dataset = getattr(getattr(loop, "dataloader", None), "dataset", None)
    metrics = getattr(getattr(loop, "evaluator", None), "metrics", ())
    return [] if dataset is None else wrong_evaluation(dataset, metrics, classes)


def check_evaluation(loop: Any, classes: str | None) -> None:
    """Checks the loop of a validation or a test; with ``'by name'``, numbers its classes by name first.

    Args:
        loop: The loop, or None where there is none.
        classes: The hook's ``classes``.

    Raises:
        WeightError: A data set or a metric takes a class for another.
    """
    said = evaluation_problems(loop, classes)
    if said:
        raise WeightError("\n".join(said))

"""mmdetection's data set and metric for COCO files, with the classes numbered by name."""

from __future__ import annotations

from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS

from headweights.mmdet.classes.metrics import number_metric_by_name
from headweights.mmdet.classes.order import label_by_name


@DATASETS.register_module()
class CocoDatasetByName(CocoDataset):
    """A ``CocoDataset`` whose label i is ``metainfo['classes'][i]``, whichever classes its file lists, and in whichever order.

    Raises:
        WeightError: While it loads: its file lists two categories with the name of the same class.
    """

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> Any:
        """Parses an image and its objects."""
        label_by_name(self)
        return super().parse_data_info(raw_data_info)


@METRICS.register_module()
class CocoMetricByName(CocoMetric):
    """A ``CocoMetric`` whose label i is ``metainfo['classes'][i]``, whichever classes its file lists, and in whichever order.

    A class that the file lacks does not count in the mean.

    Raises:
        WeightError: When it evaluates: its file lists two categories with the name of the same class.
    """

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Computes the metrics."""
        if self._coco_api is not None:
            number_metric_by_name(self, self.dataset_meta)
        metrics: dict[str, float] = super().compute_metrics(results)
        return metrics

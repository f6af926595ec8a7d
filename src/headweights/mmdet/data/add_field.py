"""The pipeline step that puts weights into an image's metainfo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures import TrackDataSample
from mmengine.structures import BaseDataElement

from headweights.errors import WeightError
from headweights.weights.addresses import is_weight_field
from headweights.weights.weight import checked_weight


@TRANSFORMS.register_module()
class AddFieldToImgMetas(BaseTransform):
    """Adds fields to the metainfo of every image, such as the image's loss weights. Put it after ``PackDetInputs``.

    .. code:: python

        dict(type='AddFieldToImgMetas', fields=['rpn_head.loss_weight'], values=[10.0])

    Args:
        fields: Names of metainfo fields. A field whose last part is ``loss_weight`` is a loss weight; others may hold anything.
        values: One value for each field. A loss weight is a real number >= 0.
        replace: Whether to replace a value that the image has already. Default: True.

    Raises:
        WeightError: When it is built: the lists differ in length, a field is named twice, or a loss weight is no number >= 0. On
            the first image: there is no data sample yet, or a field is one of its data fields.
    """

    def __init__(self, fields: Sequence[str], values: Sequence[Any], replace: bool = True) -> None:
        me = type(self).__name__
        for name, given in (("fields", fields), ("values", values)):
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise WeightError(f"{me}: {name} is {given!r}; it must be a list with one entry for each field.")
        if len(fields) != len(values):
            raise WeightError(
                f"{me}: {len(fields)} fields ({list(fields)}) but {len(values)} values ({list(values)}). Give one value a field."
            )
        for field in fields:
            if not isinstance(field, str) or not field:
                raise WeightError(f"{me}: fields contains {field!r}, which is no name of a metainfo field.")
            if list(fields).count(field) > 1:
                raise WeightError(f"{me}: field {field!r} is given twice (values {list(values)}).")
        if not isinstance(replace, bool):
            raise WeightError(f"{me}: replace is {replace!r}; it must be True or False.")
        self.values = {
            field: checked_weight(value, where=f"{me}: field {field!r}") if is_weight_field(field) else value
            for field, value in zip(fields, values)
        }
        self.replace = replace

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Adds the fields to ``results['data_samples']``: of an image, of branches (``MultiBranch``), or of a video's frames."""
        if "data_samples" not in results:
            raise WeightError(
                f"{type(self).__name__}(fields={list(self.values)}): the image has no data sample yet. PackDetInputs makes it; "
                "put this step after it."
            )
        self._add(results["data_samples"])
        return results

    def _add(self, sample: BaseDataElement | dict[str, BaseDataElement]) -> None:
        if isinstance(sample, (dict, TrackDataSample)):
            for part in sample.values() if isinstance(sample, dict) else sample.video_data_samples:
                self._add(part)
            return
        for field, value in self.values.items():
            if field in sample.all_keys() and field not in sample.metainfo_keys():
                raise WeightError(
                    f"{type(self).__name__}: field {field!r} is data of the data sample, not metainfo. Choose another name."
                )
            if self.replace or field not in sample.metainfo_keys():
                sample.set_metainfo({field: value})

    def __repr__(self) -> str:
        return f"{type(self).__name__}(fields={list(self.values)}, values={list(self.values.values())}, replace={self.replace})"

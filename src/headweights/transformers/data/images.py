"""Looks up the weights that are given image by image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headweights.errors import WeightError
from headweights.images.image import ImageInfo
from headweights.images.lookup import table_of_images
from headweights.images.table import ImageTable

_IMAGE, _FILE_NAME, _ID = "image", "file_name", "image_id"


@dataclass(frozen=True)
class _Images:
    """The images of a data set, without their pixels: of one from ``datasets`` (columns ``image_id``, and ``file_name`` or
    ``image``), or of one around COCO's API (``ids`` and ``coco``, as torchvision's ``CocoDetection``)."""

    dataset: Any
    name: str

    def __iter__(self) -> Iterator[ImageInfo]:
        coco, columns = getattr(self.dataset, "coco", None), getattr(self.dataset, "column_names", None)
        if coco is not None and hasattr(self.dataset, "ids"):
            for info in coco.loadImgs(list(self.dataset.ids)):
                yield ImageInfo(str(info.get(_FILE_NAME, "")), info.get("id"), info=info)
        elif columns and {_ID, _FILE_NAME, _IMAGE} & set(columns):
            yield from self._rows(columns)
        else:
            raise WeightError(
                f"images: data set {self.name!r} is a {type(self.dataset).__name__}, whose images have no names here: no column "
                f"{_ID!r}, {_FILE_NAME!r} or {_IMAGE!r}, and no COCO API. Write the weights into its label dicts: "
                "label['loss_weight'] = ..."
            )

    def _rows(self, columns: list[str]) -> Iterator[ImageInfo]:
        dataset = self.dataset.with_format(None)
        if _IMAGE in columns and hasattr(dataset.features[_IMAGE], "decode"):
            dataset = dataset.cast_column(_IMAGE, type(dataset.features[_IMAGE])(decode=False))
        for row in dataset.select_columns([column for column in (_ID, _FILE_NAME, _IMAGE) if column in columns]):
            image = row.get(_IMAGE)
            path = row.get(_FILE_NAME) or (image.get("path") if isinstance(image, dict) else None)
            yield ImageInfo(str(path or ""), row.get(_ID), info=row)


def image_table(dataset: Any, source: Any, name: str) -> ImageTable:
    """Returns the own weights of every image of a data set from a source (:func:`headweights.images.sources.read`).

    Raises:
        WeightError: See :func:`headweights.images.lookup.table_of_images`; or the images of the data set have no names.
    """
    return table_of_images(source, _Images(dataset, name), name)

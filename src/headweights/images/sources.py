"""Opens a source of weights by image: a CSV or JSON file, a dict in the config, or a function."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headweights.errors import WeightError
from headweights.images.files import named_weights, read_csv, read_json
from headweights.images.image import ImageInfo, checked_weights
from headweights.images.names import EITHER, NamedWeights


class CalledWeights:
    """Weights from a function of an image's info.

    Args:
        function: Called with the image's info (``img_path``, ``img_id``, ``height``, ``width``, ``instances``, ...). Returns a
            number, a table from addresses to numbers, or None for no weight.
    """

    def __init__(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        self._function = function

    def of(self, image: ImageInfo) -> dict[str, float]:
        """Returns the weights that the function gives an image, by target.

        Raises:
            WeightError: The function fails or returns something that is no weight.
        """
        name = getattr(self._function, "__qualname__", type(self._function).__name__)
        try:
            given = self._function(image.info)
        except Exception as error:
            raise WeightError(f"the function {name!r} fails for image {image.path!r}: {type(error).__name__}: {error}") from error
        return {} if given is None else checked_weights(given, where=f"the value that {name!r} returns for image {image.path!r}")


def read(source: Any, dataset: str | None = None) -> tuple[list[str], NamedWeights | CalledWeights]:
    """Opens a source of weights by image; returns the names of its entries (none for a function) and the weights.

    Args:
        source: One of

            - the path of a CSV file: a column ``file_name`` or ``image_id``, and columns of weights, ``weight`` for every head
              or an address (``rpn_head``, ``roi_head.bbox_head.loss_cls``); an empty cell gives no weight;
            - the path of a JSON file, an object from names to numbers or to tables from addresses to numbers;
            - the same as a dict;
            - a function of the image's info, or ``'module:function'``.
        dataset: The data set's name, for errors.

    Raises:
        WeightError: The source is none of these, cannot be read, or holds an invalid weight.
    """
    prefix = f"data set {dataset!r}: " if dataset else ""
    if isinstance(source, Mapping):
        return named_weights(source.items(), EITHER, f"{prefix}images")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.suffix.lower() == ".csv":
            return read_csv(path, f"{prefix}{path}")
        if path.suffix.lower() == ".json":
            return read_json(path, f"{prefix}{path}")
        if isinstance(source, str) and ":" in source:
            return [], CalledWeights(_imported(source, prefix))
    elif callable(source):
        return [], CalledWeights(source)
    raise WeightError(
        f"{prefix}images is {source!r}; it must be the path of a .csv or .json file, a dict by image, or a function of the "
        "image's info ('module:function' in a config)."
    )


def _imported(name: str, prefix: str) -> Callable[[Mapping[str, Any]], Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise WeightError(f"{prefix}images is {name!r}, which cannot be imported: {error}.") from None
    if not callable(found):
        raise WeightError(f"{prefix}images is {name!r}, which is not a function.")
    return found  # type: ignore[no-any-return]

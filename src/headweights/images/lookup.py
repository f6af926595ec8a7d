"""Looks up the weights of every image of a data set, once, before training."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headweights.errors import WeightError
from headweights.images.image import ImageInfo
from headweights.images.names import IMAGE_ID, NamedWeights
from headweights.images.sources import read
from headweights.images.table import ImageTable, TableBuilder

# To suggest the nearest name, an error looks at this many images at most.
_SEARCHED = 50_000


def table_of_images(source: Any, images: Iterable[ImageInfo], dataset: str) -> ImageTable:
    """Looks up the weights of every image of a data set.

    The source wins where it and an image's annotations give weights to the same target.

    Args:
        source: See :func:`headweights.images.sources.read`. None for the annotations alone.
        images: The images in the order of the data set. Iterated once, and again for globs and to word an error.
        dataset: The data set's name, for errors.

    Raises:
        WeightError: The source is malformed, names an image that the data set does not have, names one that several images
            could be, or names an image twice.
    """
    names, weights = ([], None) if source is None else read(source, dataset)
    hits = np.zeros(len(names), dtype=np.uint32)
    builder = TableBuilder()
    for image in images:
        given: Mapping[str, float] = {}
        if isinstance(weights, NamedWeights):
            entry = weights.find(image)
            if entry is not None:
                hits[entry] += 1
                given = weights.entries.weights(entry)
        elif weights is not None:
            given = weights.of(image)
        builder.add({**image.weights, **given})
    table = builder.table()
    if isinstance(weights, NamedWeights):
        _refuse_wrong_names(names, hits, weights, images, len(table))
    return table


def _refuse_wrong_names(
    names: Sequence[str], hits: NDArray[Any], weights: NamedWeights, images: Iterable[ImageInfo], count: int
) -> None:
    """Raises an error about entries that name no image, or more than one."""
    # A glob may match images that other entries take: it is no error.
    missed = [int(entry) for entry in np.flatnonzero(hits == 0) if not weights.matches_any(int(entry), images)]
    if missed:
        name = names[missed[0]]
        near = difflib.get_close_matches(name, _names_like(name, images, weights.by), n=1)
        message = f"{weights.where} names {name!r}, and none of the {count} images is called that."
        if len(missed) > 1:
            message += f" The same holds for {len(missed) - 1} more of its {len(names)} entries."
        raise WeightError(message + (f" Nearest: {near[0]!r}." if near else ""))
    several = [entry for entry in np.flatnonzero(hits > 1) if not weights.is_glob(int(entry))]
    if several:
        name = names[several[0]]
        examples = list(islice((image.path for image in images if weights.find(image) == several[0]), 2))
        raise WeightError(
            f"{weights.where} names {name!r}, and {int(hits[several[0]])} images are called that, for example "
            f"{' and '.join(map(repr, examples))}. Write more of the path."
        )


def _names_like(name: str, images: Iterable[ImageInfo], by: str) -> Iterator[str]:
    """The names of images, each with as many folders as `name` has."""
    depth = name.count("/") + 1
    for image in islice(images, _SEARCHED):
        yield str(image.img_id) if by == IMAGE_ID else "/".join(image.path.rsplit("/", depth)[-depth:])

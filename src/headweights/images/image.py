"""One image of a data set, and the weights that are given for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headweights.errors import WeightError
from headweights.weights.addresses import target_of
from headweights.weights.weight import checked_weight


@dataclass(frozen=True)
class ImageInfo:
    """One image of a data set, as sources of weights see it.

    Args:
        path: The image file's path, as the data set gives it (``img_path``).
        img_id: The image's id; None where the data set has none.
        weights: The weights in the data set's own annotations, by target.
        info: Everything the data set knows about the image. A source that is a function is called with it.
    """

    path: str
    img_id: Any = None
    weights: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


def checked_weights(value: Any, where: str) -> dict[str, float]:
    """Checks what is given for one image and returns it as weights by target.

    Args:
        value: A real number >= 0, which holds for every head, or a mapping from addresses to such numbers: ``''`` or
            ``'loss_weight'`` for every head, ``'rpn_head'`` or ``'rpn_head.loss_weight'``, ``'roi_head.bbox_head.loss_cls'``.
        where: The subject of the error's sentence.

    Raises:
        WeightError: It is neither, it holds an invalid weight, or it gives an address twice.
    """
    if not isinstance(value, Mapping):
        return {"": checked_weight(value, where)}
    weights: dict[str, float] = {}
    for address, weight in value.items():
        if not isinstance(address, str):
            raise WeightError(f"{where}: {address!r} is not the address of a head, such as 'rpn_head'.")
        target = target_of(address)
        if target in weights:
            raise WeightError(f"{where}: {target or 'every head'!r} is given twice.")
        weights[target] = checked_weight(weight, where=f"{where}: {address!r}")
    return weights

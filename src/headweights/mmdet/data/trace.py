"""What a pipeline's results say of an image's provenance, and how its objects get theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headweights.provenance.labels import ObjectProvenance, TracedLabels
from headweights.provenance.origin import Provenance

LABELS, IGNORED = "gt_bboxes_labels", "gt_ignore_flags"
# The entry that holds the image's Provenance.
PROVENANCE = "loss_provenance"


def trace_of(results: dict[str, Any]) -> ObjectProvenance | None:
    """Returns the provenance of an image's objects. None where its labels do not know it."""
    return getattr(results.get(LABELS), "provenance", None)


def trace(results: dict[str, Any], weights: NDArray[np.float32] | None = None) -> None:
    """Gives the objects of an unmixed image their provenance, and an image without provenance one of no data set, in place.

    An image whose objects differ is left alone: its labels have their trace already, or have lost it for good.

    Args:
        results: The image.
        weights: The objects' weights, shape (objects,). Default: 1 each.
    """
    provenance: Provenance = results.setdefault(PROVENANCE, Provenance())
    labels = results.get(LABELS)
    if trace_of(results) is None and isinstance(labels, np.ndarray) and (weights is not None or not provenance.objects_differ):
        origin = provenance.parts[0].origin
        results[LABELS] = TracedLabels(labels, ObjectProvenance.of_one(origin, len(labels), weights))

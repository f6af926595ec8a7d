"""Puts the provenance of an image and of its objects into the data sample, when a pipeline packs its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headweights.errors import WeightError
from headweights.mmdet.data.trace import IGNORED, LABELS, PROVENANCE, trace_of
from headweights.provenance.labels import ObjectProvenance, TracedLabels
from headweights.provenance.origin import OBJECT_ORIGINS, OBJECT_WEIGHTS, ORIGINS, Origin, Provenance

# An attribute of a packing step: whether all mixing steps before it are known to record what they mix. keep_origins sets it.
MIXING_IS_RECORDED = "mixing_is_recorded"

Results = dict[str, Any]
Call = Callable[[Any, Results], Any]


def packing(call: Call, step: Any, results: Results) -> Any:
    """Wraps ``PackDetInputs.__call__``; raises a WeightError if objects' weights or the shares of the image's parts are lost."""
    bare, objects = _unpacked(step, results)
    packed = call(step, bare)
    if PROVENANCE in results:
        _give(packed["data_samples"], results, objects)
    return packed


def packing_frames(call: Call, step: Any, results: Results) -> Any:
    """Does what :func:`packing` does for ``PackTrackInputs``: the results of a video are lists with an entry for each frame."""
    if PROVENANCE not in results and not any(isinstance(labels, TracedLabels) for labels in results.get(LABELS, ())):
        return call(step, results)
    keys = [key for key in (PROVENANCE, LABELS, IGNORED, "img_path") if key in results]
    frames = [dict(zip(keys, values)) for values in zip(*(results[key] for key in keys))]
    unpacked = [_unpacked(step, frame) for frame in frames]
    bare = _without_provenance(results)
    if LABELS in results:
        bare[LABELS] = [frame[LABELS] for frame, _ in unpacked]
    packed = call(step, bare)
    for sample, frame, (_, objects) in zip(packed["data_samples"].video_data_samples, frames, unpacked):
        _give(sample, frame, objects)
    return packed


def _without_provenance(results: Results) -> Results:
    return {key: value for key, value in results.items() if key != PROVENANCE}


def _unpacked(step: Any, results: Results) -> tuple[Results, dict[str, NDArray[Any]]]:
    """The results as they would be without weights, and the fields of the objects."""
    traced = trace_of(results)
    provenance: Provenance | None = results.get(PROVENANCE)
    bare = _without_provenance(results)
    if traced is None:
        # A step that builds labels anew does no harm where nothing differs, unless an unrecorded mix went before it.
        mixing_is_recorded = getattr(step, MIXING_IS_RECORDED, False)
        is_safe = provenance is None or (mixing_is_recorded and not provenance.objects_differ)
        if not is_safe and len(results.get(LABELS, ())):
            raise WeightError(_lost(results))
        return bare, {}
    parts: list[Origin | None] = [] if provenance is None else [part.origin for part in provenance.parts]
    # Every origin counts, that of an image whose objects are all gone too: the image still takes its share of the background.
    if any(origin not in parts for origin in traced.origins):
        raise WeightError(_unrecorded(results) if parts else _forgotten(results, traced))
    bare[LABELS] = np.asarray(results[LABELS])
    objects: dict[str, NDArray[Any]] = {}
    if (traced.weights != 1).any():
        objects[OBJECT_WEIGHTS] = traced.weights
    if len(parts) > 1:
        numbers = [parts.index(origin) for origin in traced.origins]
        objects[OBJECT_ORIGINS] = np.array(numbers, dtype=np.int64)[traced.index]
    return bare, objects


def _give(sample: Any, results: Results, objects: dict[str, NDArray[Any]]) -> None:
    """Puts an image's parts and its objects' fields into its data sample."""
    sample.set_metainfo({ORIGINS: results[PROVENANCE].parts})
    for name, values in objects.items():
        if IGNORED not in results:
            sample.gt_instances[name] = torch.from_numpy(values.copy())
            continue
        for instances, flag in ((sample.gt_instances, 0), (sample.ignored_instances, 1)):
            instances[name] = torch.from_numpy(values[np.asarray(results[IGNORED] == flag)])


def _lost(results: Results) -> str:
    return (
        f"{_pipeline_of(results)}: a step between LoadLossWeights and packing replaced gt_bboxes_labels by an array without "
        "the objects' weights. Steps that index, concatenate or copy the labels keep the weights. Steps that build new ones, "
        "e.g. by np.array(list), lose them. Leave the step out; or give objects no weights (LoadLossWeights(objects=False)), mix "
        "no images that weigh differently, and, outside of a training, call headweights.mmdet.keep_origins(dataset)."
    )


def _unrecorded(results: Results) -> str:
    return (
        f"{_pipeline_of(results)}: a step added objects of another image and did not record the area that this image takes. A "
        "mixing step of your own records it by headweights.mmdet.record_mix. mmdetection's steps record it in every "
        "training; outside of one, call headweights.mmdet.keep_origins(dataset) first. If the step made the new objects itself, "
        "have it join plain labels, np.asarray(labels)."
    )


def _forgotten(results: Results, traced: ObjectProvenance) -> str:
    return (
        f"{_pipeline_of(results, traced.origins)}: PackDetInputs finds objects of this data set, but no entry {PROVENANCE!r}. "
        "A step that makes new results has to keep this entry. A step that mixes images has to record it "
        "(headweights.mmdet.record_mix; for mmdetection's steps outside of a training: headweights.mmdet.keep_origins(dataset))."
    )


def _pipeline_of(results: Results, origins: Sequence[Origin | None] = ()) -> str:
    origins = origins or [part.origin for part in results.get(PROVENANCE, Provenance()).parts]
    names = dict.fromkeys(repr(origin.dataset) for origin in origins if origin is not None and origin.dataset)
    return f"the pipeline of data set {' and '.join(names) or '(unnamed)'}, image {results.get('img_path')!r}"

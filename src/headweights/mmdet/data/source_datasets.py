"""The data sets of a mix, however they are wrapped: their names, how often they are drawn, and what their pipelines do."""

from __future__ import annotations

import functools
import numbers
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headweights.errors import WeightError
from headweights.images.table import ImageTable, mean_weights
from headweights.mmdet.data.add_field import AddFieldToImgMetas
from headweights.mmdet.data.load import LoadLossWeights
from headweights.weights.addresses import LOSS_WEIGHT, AddressBook

# Where wrappers keep the one data set, or the several, that they wrap.
_ONE = ("dataset", "_dataset")
_SEVERAL = "datasets"
# Where pipelines, and transforms made of transforms, keep their steps.
_STEPS = ("pipeline", "transforms", "branch_pipelines")


@dataclass(frozen=True)
class Objects:
    """The objects of a data set and their own weights.

    Args:
        count: How many objects are not ignored. None where the data set does not list them.
        weighted: How many of them weigh other than 1.
        mean: The mean weight of all that are not ignored.
        are_weighted: Whether some object, ignored or not, has a weight other than 1.
        by_label: How many of them have each class label.
    """

    count: int | None = None
    weighted: int = 0
    mean: float = 1.0
    are_weighted: bool = False
    by_label: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceDataset:
    """A data set that loads images itself.

    Args:
        dataset: The data set.
        drawn: How many of its images are drawn in a pass over the whole mix.
        outer: The pipelines of the wrappers around it, the innermost first.
        name: Its name in the mix. Empty before it is named.
        image_weights: Its images' own weights. None before they are looked up.
    """

    dataset: Any
    drawn: float
    outer: tuple[Any, ...] = ()
    name: str = ""
    image_weights: ImageTable | None = None

    @property
    def images(self) -> int | None:
        """How many images it has. None where it only stands for one that could not be opened."""
        return None if getattr(self.dataset, "is_missing", False) else len(self.dataset)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Its metainfo. Empty where it has none."""
        metainfo = getattr(self.dataset, "metainfo", None)
        return metainfo if isinstance(metainfo, dict) else {}

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it annotates. Empty where it does not say."""
        return tuple(self.metainfo.get("classes") or ())

    @property
    def annotations(self) -> str:
        """Its annotation file. Empty where it has none."""
        return str(getattr(self.dataset, "ann_file", None) or "")

    @property
    def known_as(self) -> str:
        """What its user calls it: its name, or before it is named ``metainfo['dataset_name']`` or its annotation file."""
        known = self.name or self.metainfo.get("dataset_name") or self.annotations
        return repr(known) if known else "(unnamed)"

    @property
    def steps(self) -> list[Any]:
        """The steps that its images go through: those of its own pipeline, then those of its wrappers' pipelines."""
        return list(steps((getattr(self.dataset, "pipeline", None), *self.outer)))

    @functools.cached_property
    def objects(self) -> Objects:
        """Its objects, from one pass over the annotations of every image."""
        if self.images is None or not hasattr(self.dataset, "get_data_info"):
            return Objects()
        count, weighted, total, are_weighted = 0, 0, 0.0, False
        by_label: Counter[int] = Counter()
        for number in range(self.images):
            instances = self.dataset.get_data_info(number).get("instances")
            if instances is None:
                return Objects()
            for instance in instances:
                weight = instance.get(LOSS_WEIGHT, 1.0)
                are_weighted = are_weighted or weight != 1
                # LoadLossWeights reports an invalid weight.
                weight = float(weight) if isinstance(weight, numbers.Real) else 1.0
                if not instance.get("ignore_flag"):
                    count, weighted, total = count + 1, weighted + (weight != 1), total + weight
                    by_label[instance.get("bbox_label", 0)] += 1
        return Objects(count, weighted, total / count if count else 1.0, are_weighted, by_label)

    @property
    def objects_by_class(self) -> dict[str, int] | None:
        """The number of its objects by class. None where it does not list them."""
        counts = self.objects.by_label
        return None if self.objects.count is None else {name: counts.get(label, 0) for label, name in enumerate(self.classes)}

    @property
    def fields(self) -> dict[str, Any]:
        """The metainfo fields that the pipelines set on its images, with the values that the last step leaves."""
        fields: dict[str, Any] = {}
        for step in self.steps:
            if isinstance(step, AddFieldToImgMetas):
                fields |= step.values if step.replace else step.values | fields
        return fields

    @property
    def leaves_weights_unread(self) -> bool:
        """Whether its annotation file gives weights to images or objects and no step of its pipeline loads them."""
        given = getattr(self.dataset, "has_loss_weights", False)
        return given and not any(isinstance(step, LoadLossWeights) for step in steps(getattr(self.dataset, "pipeline", None)))

    @property
    def too_early(self) -> list[AddFieldToImgMetas]:
        """The steps that set metainfo fields before the step that makes the metainfo, ``PackDetInputs`` or another Pack step."""
        found = self.steps
        last = max((number for number, step in enumerate(found) if type(step).__name__.startswith("Pack")), default=0)
        return [step for step in found[:last] if isinstance(step, AddFieldToImgMetas)]

    def own_weights(self, book: AddressBook) -> Callable[[str, str], float]:
        """Returns a function of (head path, loss): the mean over its images of their own weights."""
        return mean_weights(self.image_weights, book)


def steps(pipeline: Any) -> Iterator[Any]:
    """Yields every step of a pipeline in order, and the steps inside of steps."""
    if isinstance(pipeline, (list, tuple)):
        for part in pipeline:
            yield from steps(part)
    elif isinstance(pipeline, dict):
        yield from steps(list(pipeline.values()))
    elif pipeline is not None:
        yield pipeline
        for inner in _STEPS:
            yield from steps(getattr(pipeline, inner, None) or ())


def source_datasets(dataset: Any, sampler: Any = None) -> list[SourceDataset]:
    """Returns the data sets that load images, in the order of their concatenation. One that is wrapped twice is listed once.

    Args:
        dataset: A data set, wrapped to any depth in ``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset``,
            ``MultiImageMixDataset`` or another wrapper that keeps what it wraps in ``dataset`` or ``datasets``.
        sampler: The sampler that draws from it. ``MultiSourceSampler`` and others like it draw by a ratio of their own.
    """
    counts = np.ones(len(dataset))
    ratio = getattr(sampler, "num_per_source", None)
    sizes = [len(part) for part in getattr(dataset, _SEVERAL, ())]
    if ratio is not None and len(ratio) == len(sizes):
        counts = np.concatenate([np.full(size, per_batch / size) for size, per_batch in zip(sizes, ratio)])
    found: dict[int, SourceDataset] = {}
    for source in _unwrapped(dataset, counts, ()):
        known = found.get(id(source.dataset))
        found[id(source.dataset)] = replace(source, drawn=source.drawn + known.drawn) if known else source
    return list(found.values())


def _unwrapped(dataset: Any, counts: NDArray[np.float64], outer: tuple[Any, ...]) -> Iterator[SourceDataset]:
    """The source data sets of a data set. `counts` is how often each of its images is drawn."""
    several = getattr(dataset, _SEVERAL, None)
    one = next((getattr(dataset, name) for name in _ONE if hasattr(dataset, name)), None)
    outside = (getattr(dataset, "pipeline", None), *outer)
    if several is not None:
        ends = np.cumsum([len(part) for part in several])[:-1]
        for part, of_part in zip(several, np.split(counts, ends)):
            yield from _unwrapped(part, of_part, outside)
    elif one is not None:
        yield from _unwrapped(one, _of_wrapped(dataset, one, counts), outside)
    else:
        yield SourceDataset(dataset, float(counts.sum()), outer)


def _of_wrapped(wrapper: Any, inner: Any, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each image of a wrapped data set is drawn, given how often each image of the wrapper is."""
    size = len(inner)
    if hasattr(wrapper, "repeat_indices"):  # ClassBalancedDataset
        drawn = np.zeros(size)
        np.add.at(drawn, np.asarray(wrapper.repeat_indices), counts)
        return drawn
    if size and len(counts) % size == 0:  # RepeatDataset, and MultiImageMixDataset, which is as long as what it wraps
        return np.asarray(counts.reshape(-1, size).sum(0))
    return np.full(size, counts.sum() / max(size, 1))


class LoadLossWeightsForHook(LoadLossWeights):
    """The step that a hook puts into a pipeline. The hook of a later run on the same data sets replaces it."""


def load_weights(source: SourceDataset, has_source: bool = False, objects: bool = True) -> None:
    """Makes the images of a data set load their data set's name and their weights, in place.

    Its pipeline gets a :class:`LoadLossWeightsForHook` step after the step that loads annotations. If it has a
    ``LoadLossWeights`` step already, that step is given the data set's name instead.

    Args:
        source: The data set, named, with its `image_weights`. Its workers have not started.
        has_source: Whether `image_weights` come from the hook's ``images`` and not from annotations alone. Default: False.
        objects: Whether to load its objects' own weights. Default: True.

    Raises:
        WeightError: The pipeline loads weights already, and the hook gives some too or calls the data set otherwise. Or the
            pipeline has no step that loads anything.
    """
    dataset, name = source.dataset, source.name
    pipeline = getattr(dataset, "pipeline", None)
    for step in steps(pipeline):
        if isinstance(step, LoadLossWeights) and not isinstance(step, LoadLossWeightsForHook):
            if has_source or step.dataset not in (None, name):
                raise WeightError(
                    f"LossWeightHook: data set {name!r} has the step {step} in its pipeline, which loads its weights already. "
                    "Take the step out, or take the data set out of the hook's images."
                )
            step.dataset = name
            return
    loading = list(_loading(getattr(pipeline, "transforms", None)))
    if not loading:
        raise WeightError(
            f"LossWeightHook: data set {name!r} ({type(dataset).__name__}) has no pipeline with a step that loads images or "
            "annotations. The weights are loaded after that step."
        )
    annotating = [place for place in loading if type(place[0][place[1]]).__name__.endswith("Annotations")]
    transforms, number = (annotating or loading)[-1]
    of_last_run = [step for step in transforms[number + 1 : number + 2] if isinstance(step, LoadLossWeightsForHook)]
    step = LoadLossWeightsForHook(name, source.image_weights if has_source else None, objects)
    transforms[number + 1 : number + 1 + len(of_last_run)] = [step]


def _loading(transforms: Any) -> Iterator[tuple[list[Any], int]]:
    """Yields every step that loads something: the list that it is in, and its index there."""
    for number, step in enumerate(transforms or ()):
        if type(step).__name__.startswith("Load") and not isinstance(step, LoadLossWeightsForHook):
            yield transforms, number
        yield from _loading(getattr(step, "transforms", None))


def named(found: Sequence[SourceDataset], names: Sequence[str] | None = None) -> list[SourceDataset]:
    """Returns the data sets with their names: ``metainfo['dataset_name']``, else the name given, else the annotation file's stem.

    Args:
        found: The data sets, in the order of the mix.
        names: A name for each of them, in that order, or None.

    Raises:
        WeightError: Two data sets have the same name, one has none, or the names given do not fit.
    """
    listed = "; ".join(f"{number}. {_described(source)}" for number, source in enumerate(found, 1))

    def wrong(what: str) -> WeightError:
        return WeightError(f"LossWeightHook: {what} All data sets: {listed}.")

    if names is not None and len(names) != len(found):
        raise wrong(f"datasets is {names!r}; it must be a list of {len(found)} names, one for each data set.")
    result = []
    for number, (source, given) in enumerate(zip(found, names or [""] * len(found)), 1):
        own = source.metainfo.get("dataset_name")
        if own and given and own != given:
            raise wrong(f"datasets calls data set {number} {given!r}, but its metainfo calls it {own!r}.")
        name = own or given or PurePath(source.annotations).stem
        if not name:
            raise wrong(
                f"data set {number} has no name. Give it one with metainfo=dict(dataset_name=...), or name all of them with the "
                "hook's datasets=[...]."
            )
        result.append(replace(source, name=str(name)))
    all_names = [source.name for source in result]
    clashing = sorted({name for name in all_names if all_names.count(name) > 1})
    if clashing:
        raise wrong(
            f"several data sets are called {', '.join(map(repr, clashing))}. Give them different names with "
            "metainfo=dict(dataset_name=...), or with the hook's datasets=[...]."
        )
    return result


def _described(source: SourceDataset) -> str:
    own = source.metainfo.get("dataset_name")
    return ", ".join(filter(None, (own and repr(own), type(source.dataset).__name__, source.annotations)))

"""The data sets of a mix, however they are wrapped: their names, how often their pictures are drawn, what their pipelines set."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headweights.addresses import AddressBook
from headweights.errors import WeightError
from headweights.images import ImageTable
from headweights.mmdet.load import LoadLossWeights, image_table
from headweights.mmdet.transforms import AddFieldToImgMetas

# Where wrappers keep the one data set, or the several, that they wrap.
_ONE = ("dataset", "_dataset")
_SEVERAL = "datasets"
# Where pipelines, and transforms made of transforms, keep their steps.
_STEPS = ("pipeline", "transforms", "branch_pipelines")


@dataclass(frozen=True)
class Leaf:
    """A data set that loads images itself.

    Args:
        dataset: The data set.
        drawn: How often its pictures are drawn in a pass over the whole mix.
        outer: The pipelines of the wrappers around it, the innermost first.
        name: Its name in the mix.
        own: Its images' own weights; None where nobody looked.
    """

    dataset: Any
    drawn: float
    outer: tuple[Any, ...] = ()
    name: str = ""
    own: ImageTable | None = None

    @property
    def images(self) -> int | None:
        """How many pictures it has; None where it only stands for one that could not be opened."""
        return None if getattr(self.dataset, "is_missing", False) else len(self.dataset)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it annotates; none where it does not say."""
        return tuple(_metainfo(self.dataset).get("classes") or ())

    @property
    def annotations(self) -> str:
        """Its annotation file; empty where it has none."""
        return str(getattr(self.dataset, "ann_file", None) or "")

    @property
    def known_as(self) -> str:
        """What its user knows it by: its name; before it is named, ``metainfo['dataset_name']``, else its annotation file."""
        known = self.name or _metainfo(self.dataset).get("dataset_name") or self.annotations
        return repr(known) if known else "(unnamed)"

    @property
    def objects(self) -> int | None:
        """How many objects it has that are not ignored; None where it does not list them."""
        return self._counted[0]

    @property
    def weighs_objects(self) -> bool:
        """Whether its annotations give some object a weight of its own."""
        return self._counted[1]

    @functools.cached_property
    def _counted(self) -> tuple[int | None, bool]:
        """Objects that are not ignored, and whether one of them has a weight: one look at every picture's annotations."""
        if self.images is None or not hasattr(self.dataset, "get_data_info"):
            return None, False
        total, weighed = 0, False
        for index in range(self.images):
            instances = self.dataset.get_data_info(index).get("instances")
            if instances is None:
                return None, False
            total += sum(not instance.get("ignore_flag") for instance in instances)
            weighed = weighed or any(instance.get("loss_weight", 1) != 1 for instance in instances)
        return total, weighed

    @property
    def fields(self) -> dict[str, Any]:
        """The metainfo fields that the pipelines set on its pictures, as the last step leaves them."""
        fields: dict[str, Any] = {}
        for step in steps((getattr(self.dataset, "pipeline", None), *self.outer)):
            if isinstance(step, AddFieldToImgMetas):
                fields.update(step.values if step.replace else {k: v for k, v in step.values.items() if k not in fields})
        return fields

    @property
    def leaves_weights_unread(self) -> bool:
        """Whether its annotation file gives weights, to images or objects, that no step of its pipeline loads."""
        given = getattr(self.dataset, "has_loss_weights", False)
        return given and not any(isinstance(step, LoadLossWeights) for step in steps(getattr(self.dataset, "pipeline", None)))

    @property
    def too_early(self) -> list[AddFieldToImgMetas]:
        """The steps that set metainfo fields and stand before the step that makes the metainfo, ``PackDetInputs`` or its kin."""
        waiting: list[AddFieldToImgMetas] = []
        early: list[AddFieldToImgMetas] = []
        for step in steps((getattr(self.dataset, "pipeline", None), *self.outer)):
            if isinstance(step, AddFieldToImgMetas):
                waiting.append(step)
            elif type(step).__name__.startswith("Pack"):
                early, waiting = early + waiting, []
        return early

    def own_weights(self, book: AddressBook) -> Callable[[str, str], float]:
        """The mean over its images of their own weights, by (head path, loss)."""
        table = self.own
        if table is None or not table.targets:
            return lambda head, loss: 1.0
        addresses = {book.at(target): target for target in table.targets}

        @functools.cache
        def mean(head: str, loss: str) -> float:
            covering = [address for address in addresses if address.covers(head, loss)]
            covering.sort(key=lambda address: address.specificity, reverse=True)
            return table.mean_weight([addresses[address] for address in covering])

        return mean


def steps(pipeline: Any) -> Iterator[Any]:
    """Every step of a pipeline, in order, those inside other steps included."""
    if isinstance(pipeline, (list, tuple)):
        for part in pipeline:
            yield from steps(part)
    elif isinstance(pipeline, dict):
        yield from steps(list(pipeline.values()))
    elif pipeline is not None:
        yield pipeline
        for inner in _STEPS:
            yield from steps(getattr(pipeline, inner, None) or ())


def leaves(dataset: Any, sampler: Any = None) -> list[Leaf]:
    """The data sets that load images, in the order in which they are concatenated; one that is wrapped twice is listed once.

    Args:
        dataset: A data set, wrapped to any depth in ``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset``,
            ``MultiImageMixDataset`` or what else keeps them in ``dataset`` or ``datasets``.
        sampler: The sampler that draws from it. ``MultiSourceSampler`` and its kin draw by a ratio of their own.
    """
    counts = np.ones(len(dataset))
    ratio = getattr(sampler, "num_per_source", None)
    sizes = [len(part) for part in getattr(dataset, _SEVERAL, ())]
    if ratio is not None and len(ratio) == len(sizes):
        counts = np.concatenate([np.full(size, per_batch / size) for size, per_batch in zip(sizes, ratio)])
    found: dict[int, Leaf] = {}
    for leaf in _leaves(dataset, counts, ()):
        known = found.get(id(leaf.dataset))
        found[id(leaf.dataset)] = replace(leaf, drawn=leaf.drawn + known.drawn) if known else leaf
    return list(found.values())


def _leaves(dataset: Any, counts: NDArray[np.float64], outer: tuple[Any, ...]) -> Iterator[Leaf]:
    """The leaves of a data set of which each picture is drawn so many times."""
    several = getattr(dataset, _SEVERAL, None)
    one = next((getattr(dataset, name) for name in _ONE if hasattr(dataset, name)), None)
    pipeline = getattr(dataset, "pipeline", None)
    if several is not None:
        ends = np.cumsum([len(part) for part in several])[:-1]
        for part, of_part in zip(several, np.split(counts, ends)):
            yield from _leaves(part, of_part, (pipeline, *outer))
    elif one is not None:
        yield from _leaves(one, _of_wrapped(dataset, one, counts), (pipeline, *outer))
    else:
        yield Leaf(dataset, float(counts.sum()), outer)


def _of_wrapped(wrapper: Any, inner: Any, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each picture of a wrapped data set is drawn, if each of the wrapper's is drawn so often."""
    size = len(inner)
    if hasattr(wrapper, "repeat_indices"):  # ClassBalancedDataset
        drawn = np.zeros(size)
        np.add.at(drawn, np.asarray(wrapper.repeat_indices), counts)
        return drawn
    if size and len(counts) % size == 0:  # RepeatDataset; MultiImageMixDataset is as long as what it wraps
        return np.asarray(counts.reshape(-1, size).sum(0))
    return np.full(size, counts.sum() / max(size, 1))


class LoadLossWeightsForHook(LoadLossWeights):
    """The step that a hook puts into a pipeline. The hook of a later run on the same data sets takes it out."""


def with_weights_loaded(leaf: Leaf, source: Any = None, objects: bool = True) -> Leaf:
    """Has a data set's pictures say which data set they are of and what they and their objects weigh, in place.

    Its pipeline gets a :class:`LoadLossWeightsForHook` step after what loads its annotations; a step of the user's that it has
    already is given the name.

    Args:
        leaf: The data set, named. Its workers have not started.
        source: Where its images' own weights are, besides its annotations; see :mod:`headweights.images`.
        objects: Whether its objects' own weights are loaded. Default: True.

    Raises:
        WeightError: The source is malformed or names images that the data set does not have; the pipeline loads weights already
            and there is a source too.
    """
    table = image_table(leaf.dataset, source, leaf.name)
    pipeline = getattr(leaf.dataset, "pipeline", None)
    for step in steps(pipeline):
        if isinstance(step, LoadLossWeights) and not isinstance(step, LoadLossWeightsForHook):
            if source is not None or step.dataset not in (None, leaf.name):
                raise WeightError(
                    f"LossWeightHook: data set {leaf.name!r} has a step {step} in its pipeline, which loads its weights already; "
                    "take the step out, or what the hook says of its images."
                )
            step.dataset = leaf.name
            return replace(leaf, own=table)
    after = _loading(getattr(pipeline, "transforms", None))
    if after is None:
        raise WeightError(
            f"LossWeightHook: data set {leaf.name!r} ({type(leaf.dataset).__name__}) has no pipeline with a step that loads "
            "images or annotations, where its pictures could be told what they weigh."
        )
    transforms, number = after
    of_last_run = slice(number + 1, number + 1 + isinstance((transforms[number + 1 :] or [None])[0], LoadLossWeightsForHook))
    transforms[of_last_run] = [LoadLossWeightsForHook(leaf.name, table if source is not None else None, objects)]
    return replace(leaf, own=table)


def _loading(transforms: Any) -> tuple[list[Any], int] | None:
    """The last step that loads annotations, else the last that loads anything: its list, and its number there."""
    found: dict[str, tuple[list[Any], int]] = {}
    for number, step in enumerate(transforms or ()):
        kind = type(step).__name__
        if kind.startswith("Load") and not isinstance(step, LoadLossWeightsForHook):
            found["annotations" if kind.endswith("Annotations") else "anything"] = transforms, number
        inner = _loading(getattr(step, "transforms", None))
        if inner is not None:
            found["annotations" if type(inner[0][inner[1]]).__name__.endswith("Annotations") else "anything"] = inner
    return found.get("annotations", found.get("anything"))


def _metainfo(dataset: Any) -> dict[str, Any]:
    metainfo = getattr(dataset, "metainfo", None)
    return metainfo if isinstance(metainfo, dict) else {}


def named(found: Sequence[Leaf], names: Sequence[str] | None = None) -> list[Leaf]:
    """The leaves with their names: ``metainfo['dataset_name']``, else the one given here, else the annotation file's stem.

    Args:
        found: The leaves, in the order of the mix.
        names: One name a leaf, in that order, or None.

    Raises:
        WeightError: Two data sets have one name, one has none, or the names given do not fit.
    """
    listed = "; ".join(f"{number}. {_described(leaf)}" for number, leaf in enumerate(found, 1))
    if names is not None and len(names) != len(found):
        raise WeightError(
            f"LossWeightHook: datasets is {names!r}; it is a list of {len(found)} names, one for each data set: {listed}."
        )
    result = []
    for number, leaf in enumerate(found):
        own = _metainfo(leaf.dataset).get("dataset_name")
        given = names[number] if names is not None else None
        if own and given and own != given:
            raise WeightError(
                f"LossWeightHook: datasets calls data set {number + 1} {given!r}, but its metainfo calls it {own!r}. "
                f"All: {listed}."
            )
        name = own or given or PurePath(leaf.annotations).stem
        if not name:
            raise WeightError(
                f"LossWeightHook: data set {number + 1} has no name: give it one with metainfo=dict(dataset_name=...), or all of "
                f"them with the hook's datasets=[...]. All: {listed}."
            )
        result.append(replace(leaf, name=str(name)))
    clashing = sorted({leaf.name for leaf in result if sum(other.name == leaf.name for other in result) > 1})
    if clashing:
        raise WeightError(
            f"LossWeightHook: several data sets are called {', '.join(map(repr, clashing))}: tell them apart with "
            f"metainfo=dict(dataset_name=...), or with the hook's datasets=[...]. All: {listed}."
        )
    return result


def _described(leaf: Leaf) -> str:
    own = _metainfo(leaf.dataset).get("dataset_name")
    kind = type(leaf.dataset).__name__
    return ", ".join(part for part in (repr(own) if own else "", kind, leaf.annotations) if part)

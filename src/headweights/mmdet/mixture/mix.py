"""Puts a training together: its data sets with their names and weights, the hook's block, and the heads of its model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from headweights.errors import WeightError
from headweights.images.table import mean_weights
from headweights.mixture.labelled import read_labelled, wrong_labels
from headweights.mixture.mix import DataSet, Mix, addressed_block, no_such_dataset
from headweights.mixture.problems import Problem, wrong_backgrounds
from headweights.mmdet.data.load import image_table
from headweights.mmdet.data.source_datasets import SourceDataset, named, source_datasets
from headweights.mmdet.heads.model_heads import ModelHeads, heads_of
from headweights.mmdet.mixture.fields import checked_fields
from headweights.mmdet.mixture.labelled import advice_on_labels, categories_of, wrong_heads
from headweights.mmdet.weighting.labelled import ClassHeads, class_heads
from headweights.mmdet.weighting.subclass import weigh_every_head
from headweights.weights.block import Block
from headweights.weights.schedules import Constant


def sources_of(
    dataset: Any,
    sampler: Any,
    names: Sequence[str] | None = None,
    images: Mapping[str, Any] | None = None,
    mentioned: Mapping[str, Iterable[str]] | None = None,
    is_named: bool = True,
) -> tuple[list[SourceDataset], list[str]]:
    """Finds and names the data sets of a training and looks up their images' own weights; also returns what is wrong.

    Args:
        dataset: The training data, wrapped to any depth.
        sampler: The sampler that draws from it.
        names: The hook's ``datasets``. Default: None.
        images: The hook's ``images``. Default: None.
        mentioned: The names of data sets in the hook's other arguments, by argument. Default: None.
        is_named: Whether every data set needs a name. Without a hook it does not. Default: True.
    """
    images = images or {}
    found = source_datasets(dataset, sampler)
    problems = []
    try:
        found = named(found, names)
    except WeightError as error:
        problems += [str(error)] if is_named else []
        found = [replace(source, name=source.known_as.strip("'") + f" #{number}") for number, source in enumerate(found, 1)]
    else:
        known = [source.name for source in found]
        problems += [
            no_such_dataset(f"LossWeightHook: {argument}: {name!r}", name, known)
            for argument, others in {"images": images, **(mentioned or {})}.items()
            for name in others
            if name not in known
        ]
    for number, source in enumerate(found):
        try:
            found[number] = replace(source, image_weights=image_table(source.dataset, images.get(source.name), source.name))
        except WeightError as error:
            problems.append(str(error))
    return found, problems


def mix_of(
    model: nn.Module,
    sources: Sequence[SourceDataset],
    block: Block | None,
    normalize: bool = False,
    objects: bool = True,
    labelled: Mapping[str, Any] | None = None,
) -> tuple[Mix, list[Problem]]:
    """Returns the mix of a training, and what is wrong with it beyond the weights: what stops the training, and advice.

    Args:
        model: The model, without wrapper. If there is a block, its heads become weighted in place.
        sources: The data sets, named.
        block: The hook's block; None where there is no hook.
        normalize: See :class:`headweights.mixture.mix.Mix`. Default: False.
        objects: Whether objects' own weights count. Default: True.
        labelled: The hook's ``labelled``. Default: None.
    """
    reasons = weigh_every_head(model) if block is not None else {}
    heads = heads_of(model)
    block = block or {}
    known = {source.name: source for source in sources}
    classes = {name: source.classes for name, source in known.items()}
    labels, problems = read_labelled(labelled or {}, classes, lambda name: categories_of(known[name]), "LossWeightHook")
    datasets = []
    for source in sources:
        fields, wrong = checked_fields(heads, source)
        problems += wrong
        numbers = source.images, source.drawn, source.objects.count
        weighted = (source.objects.weighted, source.objects.mean) if objects else (0, 1.0)
        try:
            own = source.own_weights(heads.book)
        except WeightError as error:
            problems.append(f"images: data set {source.name!r}: {error}")
            own = mean_weights(None, heads.book)
        by_class = source.objects_by_class if source.name in labels else None
        described = DataSet(source.name, *numbers, source.classes, source.annotations, fields, own, weighted)
        datasets.append(replace(described, labelled=labels.get(source.name), objects_by_class=by_class))
    problems += _heads_without_weights(block, reasons)
    if objects:
        problems += _heads_without_objects(heads, sources)
    addressed, unknown = addressed_block([source.name for source in sources], heads.book, block)
    partial = any(dataset.unlabelled for dataset in datasets)
    able = class_heads(model, len(datasets[0].classes)) if partial else ClassHeads()
    able.fixed.update(reasons if partial else {})  # a stock head would go on unnoticed
    mix = Mix(datasets, heads.book, addressed, normalize, able.classifying)
    problems += [*unknown, *wrong_heads(able, partial), *wrong_labels(mix), *wrong_backgrounds(mix)]
    stops = [Problem("bad input", message, stops=True) for message in problems]
    return mix, [*stops, *advice_on_labels(mix, able, sources)]


def _heads_without_weights(block: Block, reasons: Mapping[str, str]) -> Iterator[str]:
    """Data sets that weigh something in every head, where some head cannot be weighted."""
    for dataset, given in block.items():
        everywhere = given.get("", Constant(1.0))
        if everywhere != Constant(1.0):
            for path, reason in reasons.items():
                yield (
                    f"weights: data set {dataset!r} weighs {everywhere} in every head, but {path} cannot be weighted: {reason} "
                    "Name the heads that you mean."
                )


def _heads_without_objects(heads: ModelHeads, sources: Sequence[SourceDataset]) -> Iterator[str]:
    """Heads that cannot tell objects apart, where objects have weights of their own."""
    weighted = next((source.name for source in sources if source.objects.are_weighted), None)
    if weighted is not None:
        for path, reason in heads.without_objects():
            yield (
                f"objects: data set {weighted!r} gives its objects weights of their own, and {path} ({heads.class_of(path)}) "
                f"cannot tell them apart: {reason}. Leave the objects' weights out: objects=False."
            )

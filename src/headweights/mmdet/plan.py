"""What a training's weights come to: the hook's block, the data sets as they were built and the model's heads, together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from headweights.block import Block
from headweights.errors import WeightError
from headweights.mix import DataSet, Mix, resolve
from headweights.mmdet.check import checked_fields
from headweights.mmdet.datasets import Leaf
from headweights.mmdet.heads import make_weighted, mechanism_of
from headweights.mmdet.model import heads_of, modules_by_path
from headweights.problems import Problem
from headweights.schedules import Constant


def weigh_every_head(model: nn.Module) -> dict[str, str]:
    """Makes every head of a model weighted, in place, that can be.

    Returns:
        Why not, for each head that cannot be, by its path.
    """
    reasons = {}
    modules = dict(modules_by_path(model))
    for path in list(heads_of(model).book.stock):
        try:
            mechanism_of(type(modules[path]))
        except WeightError as error:
            reasons[path] = str(error)
    for path in list(heads_of(model).book.stock):
        if path not in reasons:
            make_weighted(modules[path])
    return reasons


def planned(
    model: nn.Module,
    leaves: Sequence[Leaf],
    block: Block,
    normalize: bool = False,
    reasons: Mapping[str, str] | None = None,
    objects: bool = True,
) -> tuple[Mix, list[Problem]]:
    """The mix of a training, of all that can be meant; and everything that cannot, each of which stops the training.

    Args:
        model: The model, without wrapper.
        leaves: The data sets, named.
        block: What the hook's block says.
        normalize: See :class:`headweights.mix.Mix`.
        reasons: Why heads could not be made weighted, by path; see :func:`weigh_every_head`.
        objects: Whether objects' own weights hold.
    """
    said: list[str] = []
    heads = heads_of(model)
    datasets = []
    for leaf in leaves:
        fields, wrong = checked_fields(heads, leaf)
        said += wrong
        own = leaf.own_weights(heads.book)
        datasets.append(DataSet(leaf.name, leaf.images, leaf.drawn, leaf.objects, leaf.classes, leaf.annotations, fields, own))
    for dataset, given in block.items():
        everywhere = given.get("", Constant(1.0))
        if everywhere != Constant(1.0):
            said += [
                f"weights: data set {dataset!r} weighs {everywhere} in every head, but {path} cannot be weighted: {why} Name the "
                "heads that are meant."
                for path, why in (reasons or {}).items()
            ]
    weighed = [leaf.name for leaf in leaves if objects and leaf.weighs_objects]
    if weighed:
        said += [
            f"objects: data set {weighed[0]!r} gives its objects weights of their own, and {path} ({heads.class_of(path)}) "
            f"cannot tell them apart: {reason}. Leave the objects' weights out: objects=False."
            for path, reason in heads.without_objects()
        ]
    resolved, unknown = resolve([dataset.name for dataset in datasets], heads.book, block)
    return Mix(datasets, heads.book, resolved, normalize), [Problem("bad input", line, True) for line in said + unknown]

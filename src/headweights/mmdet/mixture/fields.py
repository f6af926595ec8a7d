"""Checks the weights that the pipelines of a data set set in the metainfo."""

from __future__ import annotations

from headweights.errors import WeightError
from headweights.mmdet.data.source_datasets import SourceDataset
from headweights.mmdet.heads.model_heads import ModelHeads
from headweights.weights.addresses import Address
from headweights.weights.weight import checked_weight


def checked_fields(heads: ModelHeads, source: SourceDataset) -> tuple[dict[Address, float], list[str]]:
    """Returns the valid weights that a data set's pipelines set, by address; also returns what is wrong with the others."""
    fields: dict[Address, float] = {}
    problems = [
        f"AddFieldToImgMetas(fields={list(step.values)}) of data set {source.known_as} stands before PackDetInputs, which makes "
        "the metainfo: put this step after it."
        for step in source.too_early
    ]
    for name, value in source.fields.items():
        try:
            address = heads.find(name)
            if address is not None:
                fields[address] = checked_weight(value, f"field {name!r}")
        except WeightError as error:
            problems.append(f"AddFieldToImgMetas of data set {source.known_as}: {error}")
    return fields, problems

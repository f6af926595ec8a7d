"""Describes a training for its record, ``headweights.json``."""

from __future__ import annotations

from typing import Any

from headweights.mixture.mix import Mix
from headweights.mixture.table import records
from headweights.run_record.schema import DataSetRecord, HeadRecord, RunRecord, WeightRecord
from headweights.transformers.weighting.models import ModelLosses
from headweights.weights.block import Block


def describe_run(losses: ModelLosses, mix: Mix, block: Block, target: str | None, settings: dict[str, Any]) -> RunRecord:
    """Describes a training: its data sets, its losses as heads, its weights, its settings, and its target, if it has one."""
    drawn = sum(dataset.drawn for dataset in mix.datasets.values())
    criterion = losses.criterion.rpartition(".")[2]
    return RunRecord(
        target=target,
        datasets=[
            DataSetRecord(
                name=dataset.name,
                images=dataset.images,
                drawn=dataset.drawn / drawn if drawn else None,
                classes=list(dataset.classes),
                labelled=None if dataset.labelled is None else list(dataset.labelled),
            )
            for dataset in mix.datasets.values()
        ],
        heads=[HeadRecord(path=target, class_name=criterion, logs_weighted=False) for target in losses.book.weighted],
        table=[WeightRecord.model_validate(row) for row in records(mix)],
        weights={name: {target: weight.as_given() for target, weight in given.items()} for name, given in block.items()},
        settings=settings,
    )

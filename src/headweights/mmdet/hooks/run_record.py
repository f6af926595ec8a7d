"""Describes a training for its record, ``headweights.json``."""

from __future__ import annotations

from collections.abc import Sequence

from headweights.mixture.mix import Mix
from headweights.mixture.table import records
from headweights.mmdet.data.source_datasets import SourceDataset
from headweights.mmdet.heads.model_heads import ModelHeads
from headweights.run_record.schema import DataSetRecord, HeadRecord, RunRecord, Sample, WeightRecord
from headweights.weights.block import Block

# The number of sample images of each data set.
_SAMPLES = 6


def describe_run(heads: ModelHeads, mix: Mix, sources: Sequence[SourceDataset], block: Block, target: str | None) -> RunRecord:
    """Describes a training: its data sets with a few of their images, its heads, its weights, and its target, if it has one."""
    drawn = sum(source.drawn for source in sources) or 1.0
    return RunRecord(
        target=target,
        datasets=[
            DataSetRecord(
                name=source.name,
                ann_file=source.annotations,
                images=source.images,
                objects=source.objects.count,
                drawn=source.drawn / drawn,
                classes=[str(name) for name in source.classes],
                labelled=None if (labels := mix.datasets[source.name].labelled) is None else list(labels),
                samples=[_sample(source, index) for index in _spread(source.images or 0)],
            )
            for source in sources
        ],
        heads=[
            HeadRecord(path=path, class_name=heads.class_of(path), losses=list(losses), logs_weighted=heads.logs_weighted(path))
            for path, losses in heads.book.weighted.items()
        ],
        table=[WeightRecord.model_validate(row) for row in records(mix)],
        weights={name: {target: weight.as_given() for target, weight in given.items()} for name, given in block.items()},
    )


def _spread(count: int) -> list[int]:
    """Returns the indices of a few images, spread evenly over a data set."""
    shown = min(count, _SAMPLES)
    return [number * count // shown for number in range(shown)]


def _sample(source: SourceDataset, index: int) -> Sample:
    """Describes an image and its objects, unchecked, because a mistake in an annotation must not stop the training."""
    info = source.dataset.get_data_info(index)
    instances = [instance for instance in info.get("instances") or () if not instance.get("ignore_flag")]
    weights = [instance.get("loss_weight", 1.0) for instance in instances]
    return Sample.model_construct(
        image=str(info.get("img_path", "")),
        width=info.get("width"),
        height=info.get("height"),
        boxes=[[float(edge) for edge in instance["bbox"]] for instance in instances if "bbox" in instance],
        labels=[int(instance.get("bbox_label", 0)) for instance in instances],
        object_weights=weights if any(weight != 1 for weight in weights) else None,
        image_weights=(source.image_weights.weights(index) or None) if source.image_weights is not None else None,
    )

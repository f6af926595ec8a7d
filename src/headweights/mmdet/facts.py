"""What a training was set to do, for `headweights report`: written beside the log when it starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from headweights.block import Block
from headweights.mix import Mix
from headweights.mmdet.datasets import Leaf
from headweights.mmdet.model import heads_of
from headweights.table import records

FILE = "headweights.json"
# Sample pictures of each data set.
_SAMPLES = 6


def write_facts(folder: Path, model: nn.Module, mix: Mix, leaves: Sequence[Leaf], block: Block, target: str | None) -> None:
    """Writes ``headweights.json``: data sets with a few of their pictures, heads, the table of weights, the block as given.

    Args:
        folder: Where the log is, ``<work_dir>/<timestamp>/vis_data``.
        model: The model, its heads weighted.
        mix: The mix.
        leaves: Its data sets.
        block: The hook's block.
        target: The data set that the detector is for.
    """
    heads = heads_of(model)
    drawn = sum(dataset.drawn for dataset in mix.datasets.values()) or 1.0
    facts = {
        "version": 1,
        "target": target,
        "datasets": [
            {
                "name": leaf.name,
                "ann_file": leaf.annotations,
                "images": leaf.images,
                "objects": mix.datasets[leaf.name].objects,
                "drawn": leaf.drawn / drawn,
                "classes": list(leaf.classes),
                "samples": [_sample(leaf, number) for number in _spread(leaf.images or 0)],
            }
            for leaf in leaves
        ],
        "heads": [
            {"path": path, "class": heads.class_of(path), "losses": list(losses), "logs_weighted": heads.logs_weighted(path)}
            for path, losses in heads.book.weighted.items()
        ],
        "table": records(mix),
        "weights": {name: {target: weight.as_given() for target, weight in given.items()} for name, given in block.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(facts, indent=1, default=str))


def _spread(count: int) -> list[int]:
    """The numbers of a few pictures, spread evenly over a data set."""
    shown = min(count, _SAMPLES)
    return [number * count // shown for number in range(shown)]


def _sample(leaf: Leaf, number: int) -> dict[str, Any]:
    """One picture and its objects, as annotated."""
    info = leaf.dataset.get_data_info(number)
    instances = [instance for instance in info.get("instances") or () if not instance.get("ignore_flag")]
    weights = [instance.get("loss_weight", 1.0) for instance in instances]
    return {
        "image": str(info.get("img_path", "")),
        "width": info.get("width"),
        "height": info.get("height"),
        "boxes": [[float(edge) for edge in instance["bbox"]] for instance in instances if "bbox" in instance],
        "labels": [int(instance.get("bbox_label", 0)) for instance in instances],
        "object_weights": weights if any(weight != 1 for weight in weights) else None,
        "image_weights": (leaf.own.weights(number) or None) if leaf.own is not None else None,
    }

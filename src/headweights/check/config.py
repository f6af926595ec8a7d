"""The parts of a training that weights depend on, built from its config: no GPU, no workers, nothing trained or downloaded."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet.registry import DATA_SAMPLERS, DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import Registry
from torch import nn

from headweights.problems import Length, Problem

_HOOK = "LossWeightHook"
_OURS = (_HOOK, "AddFieldToImgMetas", "LoadLossWeights", "WithWeightPerImage")


class MissingDataset(BaseDataset):
    """Stands for a data set that could not be opened: its name and pipelines, and no pictures."""

    is_missing = True

    def __init__(self, **config: Any) -> None:
        known = {name: config[name] for name in ("ann_file", "metainfo", "data_root", "pipeline") if name in config}
        super().__init__(**known, serialize_data=False)

    def load_data_list(self) -> list[dict[str, Any]]:
        """No pictures."""
        return []


@dataclass
class Parts:
    """What a config describes, as far as it could be built.

    Args:
        hook: The arguments of its ``LossWeightHook``; None where it has none.
        model: The model.
        dataset: The training data.
        sampler: What draws from it.
        length: How long it trains.
        problems: What could not be built, and why.
    """

    hook: dict[str, Any] | None = None
    model: nn.Module | None = None
    dataset: Any = None
    sampler: Any = None
    length: Length = field(default_factory=Length)
    problems: list[Problem] = field(default_factory=list)


def parts_of(config: Config) -> Parts:
    """Builds what weights depend on; what cannot be built becomes a problem, and the rest is built all the same."""
    register_all_modules()
    hooks = _hooks(config)
    parts = Parts(hooks[0] if hooks else None)
    if len(hooks) > 1:
        parts.problems.append(Problem("bad input", f"{_HOOK} is configured twice; put all weights into one block.", True))
    said = repr(config.to_dict())
    if any(name in said for name in _OURS) and "headweights.mmdet" not in said:
        parts.problems.append(
            Problem(
                "import",
                "The config does not import headweights.mmdet, so mmdetection's tools cannot build what it asks for: "
                "custom_imports = dict(imports=['headweights.mmdet'], allow_failed_imports=False).",
                True,
            )
        )
    try:
        parts.model = MODELS.build(copy.deepcopy(config.model))
    except Exception as error:  # whatever a user's model raises
        parts.problems.append(Problem("model", f"model: it cannot be built: {_why(error, config.get('model'), MODELS)}", True))
    loader = config.get("train_dataloader")
    if not isinstance(loader, dict) or not isinstance(loader.get("dataset"), dict):
        parts.problems.append(Problem("data", "train_dataloader: the config has no training data.", True))
        return parts
    described = copy.deepcopy(loader["dataset"])
    parts.problems += list(_without_missing(described))
    try:
        parts.dataset = _built(described)
    except Exception:  # one of them, for a reason that is asked of each
        parts.problems += list(_without_unusable(described))
        try:
            parts.dataset = _built(described)
        except Exception as error:
            why = _why(error, described, DATASETS)
            parts.problems.append(Problem("data", f"train_dataloader.dataset: it cannot be built: {why}", True))
            return parts
    parts.sampler = _sampler(loader, parts.dataset)
    parts.length = _length(config, len(parts.dataset))
    return parts


def _hooks(config: Config) -> list[dict[str, Any]]:
    """The arguments of every ``LossWeightHook`` of a config."""
    found = []
    given = config.get("custom_hooks")
    for hook in given if isinstance(given, (list, tuple)) else ():
        if is_weight_hook(hook):
            found.append({name: value for name, value in hook.items() if name not in ("type", "priority")})
    return found


def is_weight_hook(described: Any) -> bool:
    """Whether a described hook is a ``LossWeightHook``."""
    kind = described.get("type") if isinstance(described, dict) else None
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", "")).split(".")[-1] == _HOOK


def _built(described: Any) -> Any:
    dataset = DATASETS.build(copy.deepcopy(described))
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    return dataset


def described_leaves(described: Any) -> Iterator[Any]:
    """The configs of the data sets that load images, in place."""
    if isinstance(described.get("datasets"), (list, tuple)):
        for part in described["datasets"]:
            yield from described_leaves(part)
    elif isinstance(described.get("dataset"), dict):
        yield from described_leaves(described["dataset"])
    else:
        yield described


def _without_missing(described: Any) -> Iterator[Problem]:
    """Puts a stand-in where a data set's annotation file does not exist."""
    for leaf in described_leaves(described):
        path = annotation_file(leaf)
        if path and "://" not in path and not Path(path).exists():
            yield Problem("annotations", f"data set {_known_as(leaf)}: its annotation file {path!r} does not exist.", True)
            leaf["type"] = MissingDataset


def _without_unusable(described: Any) -> Iterator[Problem]:
    """Puts a stand-in where a data set cannot be built."""
    for leaf in described_leaves(described):
        try:
            _built(leaf)
        except Exception as error:  # whatever a user's data set raises
            yield Problem("annotations", f"data set {_known_as(leaf)}: {_why(error, leaf, DATASETS)}", True)
            leaf["type"] = MissingDataset
            try:
                _built(leaf)
            except Exception:  # its pipeline, then, which has been said
                leaf["pipeline"] = []


def annotation_file(leaf: Any) -> str:
    """Where a described data set's annotations are; empty where it names no file."""
    path = str(leaf.get("ann_file") or "")
    root = str(leaf.get("data_root") or "")
    return str(Path(root) / path) if path and root and "://" not in path else path


def _known_as(leaf: Any) -> str:
    return repr((leaf.get("metainfo") or {}).get("dataset_name") or leaf.get("ann_file") or "(unnamed)")


def _sampler(loader: Any, dataset: Any) -> Any:
    """The sampler, where it can be had; only one that draws by a ratio of its own matters."""
    sampler = loader.get("sampler")
    try:
        return DATA_SAMPLERS.build(copy.deepcopy(sampler), default_args=dict(dataset=dataset, seed=0))
    except Exception:  # then the pictures are taken to be drawn alike
        return None


def _length(config: Config, pictures: int) -> Length:
    """How long the config trains in one process."""
    loop = config.get("train_cfg") or {}
    an_epoch = math.ceil(pictures / (config.train_dataloader.get("batch_size") or 1))
    if loop.get("max_epochs"):
        return Length(loop["max_epochs"] * an_epoch or None, loop["max_epochs"])
    if loop.get("max_iters"):
        return Length(loop["max_iters"], math.ceil(loop["max_iters"] / an_epoch) if an_epoch else None)
    return Length()


def _why(error: Exception, described: Any, registry: Registry) -> str:
    """An error in words, with the nearest registered name where a type is not registered."""
    said = str(error).split("\n")[0] or type(error).__name__
    if isinstance(error, KeyError) or "is not in the" in said:
        for kind in _types(described):
            if registry.get(kind) is None:
                near = difflib.get_close_matches(kind, _registered(registry), n=1)
                if near:
                    return f"type {kind!r} is not registered. Nearest valid: {near[0]!r}."
    return said


def _registered(registry: Registry) -> list[str]:
    names = list(registry.module_dict)
    return names + (_registered(registry.parent) if registry.parent is not None else [])


def _types(described: Any) -> Iterator[str]:
    if isinstance(described, dict):
        if isinstance(described.get("type"), str):
            yield described["type"]
        described = list(described.values())
    if isinstance(described, (list, tuple)):
        for part in described:
            yield from _types(part)

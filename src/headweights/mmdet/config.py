"""Reads a training config, builds what loss weights depend on, and edits its hooks. Nothing is trained or downloaded."""

from __future__ import annotations

import argparse
import copy
import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet.registry import DATA_SAMPLERS, DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.registry import Registry
from torch import nn

from headweights.errors import WeightError
from headweights.mixture.problems import Length, Problem

_HOOK = "LossWeightHook"
_IMPORT = "headweights.mmdet"
# What numpy says where mmengine serializes a list of no images.
_NO_IMAGES = "need at least one array to concatenate"
_NEED_IMPORT = (_HOOK, "AddFieldToImgMetas", "LoadLossWeights", "WithWeightPerImage", "CocoDatasetByName", "CocoMetricByName")


class MissingDataset(BaseDataset):
    """Stands in for a data set that could not be opened. It has its name and pipeline, and no images."""

    is_missing = True

    def __init__(self, **config: Any) -> None:
        known = {name: config[name] for name in ("ann_file", "metainfo", "data_root", "pipeline") if name in config}
        super().__init__(**known, serialize_data=False)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Returns no images."""
        return []


@dataclass
class BuiltConfig:
    """What a config describes, as far as it can be built. What is not there, or could not be built, is None.

    Args:
        hook: The arguments of its ``LossWeightHook``.
        model: The model.
        dataset: The training data.
        sampler: The sampler that draws from it. It matters only if it draws by a ratio of its own; without it, all images count
            as drawn equally often.
        length: How long one process trains.
        problems: What could not be built, and why.
    """

    hook: dict[str, Any] | None = None
    model: nn.Module | None = None
    dataset: Any = None
    sampler: Any = None
    length: Length = field(default_factory=Length)
    problems: list[Problem] = field(default_factory=list)

    def stop(self, kind: str, *messages: str) -> None:
        """Adds problems that stop the training."""
        self.problems += [Problem(kind, message, stops=True) for message in messages]


def read_config(path: Path, options: Sequence[str] = ()) -> Any:
    """Reads a config and sets what ``--cfg-options`` sets.

    Raises:
        WeightError: It cannot be read, or an option is invalid.
    """
    if not path.is_file():
        raise WeightError(
            f"{path}: {'it is a folder' if path.is_dir() else 'no such file'}; name a training config of mmdetection."
        )
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is a program and may raise anything
        raise WeightError(f"{path}: it cannot be read: {type(error).__name__}: {error}".split("\n")[0]) from None
    for option in options:
        if "=" not in option:
            raise WeightError(f"--cfg-options {option!r}: it is not <key>=<value>.")
    if options:
        parser = argparse.ArgumentParser()
        parser.add_argument("--options", nargs="+", action=DictAction)
        try:
            config.merge_from_dict(parser.parse_args(["--options", *options]).options)
        except Exception as error:  # an index out of range, a table where there is a number
            raise WeightError(f"--cfg-options {' '.join(options)}: {error}") from None
    return config


def build_config(config: Config) -> BuiltConfig:
    """Builds the model, the training data and the sampler. What cannot be built becomes a problem; the rest is still built."""
    register_all_modules()
    given = config.get("custom_hooks")
    hooks = [hook for hook in given if is_weight_hook(hook)] if isinstance(given, (list, tuple)) else []
    built = BuiltConfig()
    if hooks:
        built.hook = {name: value for name, value in hooks[0].items() if name not in ("type", "priority")}
    if len(hooks) > 1:
        built.stop("bad input", f"{_HOOK} is configured twice; put all weights into one block.")
    text = repr(config.to_dict())
    if any(name in text for name in _NEED_IMPORT) and _IMPORT not in text:
        built.stop(
            "import",
            "The config does not import headweights.mmdet, so mmdetection's tools cannot build what it asks for: "
            "custom_imports = dict(imports=['headweights.mmdet'], allow_failed_imports=False).",
        )
    if "model" not in config:
        built.stop("model", "model: the config has none. Is it a training config of mmdetection?")
        return built
    try:
        built.model = MODELS.build(copy.deepcopy(config.model))
    except Exception as error:  # whatever a user's model raises
        built.stop("model", f"model: it cannot be built: {_why(error, config.get('model'), MODELS)}")
    loader = config.get("train_dataloader")
    if not isinstance(loader, dict) or not isinstance(loader.get("dataset"), dict):
        built.stop("data", "train_dataloader: the config has no training data.")
        return built
    described = copy.deepcopy(loader["dataset"])
    # To find the data sets that cannot be built, all of them are built one by one, so only if it must be.
    for stand_in in (_stand_in_for_missing, _stand_in_for_unusable):
        for source, problem in stand_in(described):
            name = (source.get("metainfo") or {}).get("dataset_name") or source.get("ann_file") or "(unnamed)"
            built.stop("annotations", f"data set {name!r}: {problem}")
        try:
            built.dataset = _built(described)
            break
        except Exception as error:
            why = _why(error, described, DATASETS)
    else:
        built.stop("data", f"train_dataloader.dataset: it cannot be built: {why}")
        return built
    with suppress(Exception):
        arguments = dict(dataset=built.dataset, seed=0)
        built.sampler = DATA_SAMPLERS.build(copy.deepcopy(loader.get("sampler")), default_args=arguments)
    built.length = _length(config, len(built.dataset))
    return built


def build_validation(config: Config) -> tuple[Any, list[Any]] | None:
    """Builds the validation data set of a config and its metrics. None where the config validates nothing.

    Raises:
        WeightError: They cannot be built.
    """
    loader, evaluator = config.get("val_dataloader"), config.get("val_evaluator")
    if not loader or not evaluator:
        return None
    try:
        dataset = _built(loader["dataset"])
        return dataset, Evaluator(copy.deepcopy(evaluator)).metrics
    except Exception as error:  # whatever a user's data set or metric raises
        raise WeightError(f"it cannot be built: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error


def type_name(described: Any) -> str:
    """The name of the type that a part of a config has, without its scope. Empty if it has none."""
    kind = described.get("type") if isinstance(described, dict) else None
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", "")).split(".")[-1]


def is_weight_hook(described: Any) -> bool:
    """Whether the config of a hook describes a ``LossWeightHook``."""
    return type_name(described) == _HOOK


def weight_hooks(config: Any, arguments: Mapping[str, Any]) -> list[Any]:
    """Returns a config's hooks with the arguments of its ``LossWeightHook`` replaced, or with such a hook added."""
    hooks = [*(config.get("custom_hooks") or ())]
    if not any(map(is_weight_hook, hooks)):
        hooks.append(dict(type=_HOOK))
    return [
        ConfigDict({**{name: hook[name] for name in ("type", "priority") if name in hook}, **arguments})
        if is_weight_hook(hook)
        else hook
        for hook in hooks
    ]


def with_import(config: Any) -> dict[str, Any]:
    """Returns the ``custom_imports`` of a config with ``headweights.mmdet`` among them."""
    given = config.get("custom_imports") or {}
    imports = given.get("imports") or []
    imports = [imports] if isinstance(imports, str) else list(imports)
    needed = [] if _IMPORT in imports else [_IMPORT]
    return dict(imports=imports + needed, allow_failed_imports=bool(given.get("allow_failed_imports", False)))


def _built(described: Any) -> Any:
    dataset = DATASETS.build(copy.deepcopy(described))
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    return dataset


def source_configs(described: Any) -> Iterator[Any]:
    """Yields the configs of the data sets that load images, without the wrappers around them. They are not copies."""
    if isinstance(described.get("datasets"), (list, tuple)):
        for part in described["datasets"]:
            yield from source_configs(part)
    elif isinstance(described.get("dataset"), dict):
        yield from source_configs(described["dataset"])
    else:
        yield described


def _stand_in_for_missing(described: Any) -> Iterator[tuple[Any, str]]:
    """Replaces data sets whose annotation file does not exist by stand-ins."""
    for source in source_configs(described):
        path = annotation_file(source)
        if path and "://" not in path and not Path(path).exists():
            yield source, f"its annotation file {path!r} does not exist."
            source["type"] = MissingDataset


def _stand_in_for_unusable(described: Any) -> Iterator[tuple[Any, str]]:
    """Replaces data sets that cannot be built by stand-ins."""
    for source in source_configs(described):
        try:
            _built(source)
        except Exception as error:  # whatever a user's data set raises
            yield source, _why(error, source, DATASETS)
            source["type"] = MissingDataset
            try:
                _built(source)
            except Exception:  # the pipeline, and the problem names it
                source["pipeline"] = []


def annotation_file(source: Any) -> str:
    """Returns the annotation file of a data set's config, or '' if it names none."""
    path = str(source.get("ann_file") or "")
    root = str(source.get("data_root") or "")
    return str(Path(root) / path) if path and root and "://" not in path else path


def _length(config: Config, images: int) -> Length:
    loop = config.get("train_cfg") or {}
    an_epoch = math.ceil(images / (config.train_dataloader.get("batch_size") or 1))
    if loop.get("max_epochs"):
        return Length(loop["max_epochs"] * an_epoch or None, loop["max_epochs"])
    if loop.get("max_iters"):
        return Length(loop["max_iters"], math.ceil(loop["max_iters"] / an_epoch) if an_epoch else None)
    return Length()


def _why(error: Exception, described: Any, registry: Registry) -> str:
    """The first line of an error, or the nearest registered name if a type is not registered."""
    message = str(error).split("\n")[0] or type(error).__name__
    if isinstance(error, IsADirectoryError):  # mmengine takes a text in metainfo for a file to read, if there is one
        return f"{message}. If metainfo has this name, such as dataset_name, run in another folder or use another name."
    if isinstance(error, KeyError) or "is not in the" in message:
        registered = [*registry.module_dict, *(registry.parent.module_dict if registry.parent else ())]
        for kind in _types(described):
            near = difflib.get_close_matches(kind, registered, n=1)
            if near and registry.get(kind) is None:
                return f"type {kind!r} is not registered. Nearest valid: {near[0]!r}."
    if message == _NO_IMAGES:
        return "it has no images: its annotation file lists none, or its filter_cfg leaves none. Take it out of the config."
    return message


def _types(described: Any) -> Iterator[str]:
    if isinstance(described, dict):
        if isinstance(described.get("type"), str):
            yield described["type"]
        described = list(described.values())
    if isinstance(described, (list, tuple)):
        for part in described:
            yield from _types(part)

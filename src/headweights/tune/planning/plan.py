"""The search through a config's weights: what is searched, how trainings are compared, and what must be mended first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner.utils import calc_dynamic_intervals

from headweights.errors import WeightError
from headweights.mixture.mix import no_such_dataset
from headweights.mmdet.config import annotation_file, build_config, read_config, source_configs, type_name, weight_hooks
from headweights.mmdet.data.source_datasets import SourceDataset
from headweights.mmdet.heads.model_heads import heads_of
from headweights.mmdet.hooks.loss_weights import LossWeightHook
from headweights.mmdet.mixture.classes import wrong_classes
from headweights.mmdet.mixture.mix import mix_of, sources_of
from headweights.mmdet.weighting.subclass import weigh_every_head
from headweights.tune.planning.sampling import check_sampling, sampler_config
from headweights.tune.planning.shortening import check_fraction, goes_by_epochs
from headweights.tune.planning.space import Space, top_heads
from headweights.weights.addresses import AddressBook, target_of
from headweights.weights.block import parse_block

GREATER, LESS = "greater", "less"

# Entries of a config that may change without making it another search.
_IRRELEVANT = ("work_dir", "log_level", "visualizer", "vis_backends", "resume", "launcher", "custom_imports", "custom_hooks")
_VALIDATION = {
    "val_dataloader": "val_dataloader=dict(...)",
    "val_evaluator": "val_evaluator=dict(type='CocoMetric', ann_file=..., metric='bbox')",
    "val_cfg": "val_cfg=dict(type='ValLoop')",
}


@dataclass(frozen=True)
class Plan:
    """A search through a config's weights.

    Args:
        path: The config.
        options: What ``--cfg-options`` sets in it.
        space: The weights that are searched.
        hook: The arguments of the config's ``LossWeightHook`` during the search. Its ``weights`` are the config's own.
        own: The config's own weights as parameters; None if it has none that can be tried.
        screening: Whether the search begins with a screening.
        fraction: The length of the trainings of the screening, as a fraction of the config's.
        concatenated: The names of the data sets in the order of the config's ``ConcatDataset``.
        metric: The metric; None for the first one that mmengine knows to be better when greater.
        rule: ``'greater'`` or ``'less'``, whichever is better.
        validations: The number of validations of a training; None if its loop is unknown.
        seed: The seed of trainings whose config sets none.
        described: A description of the search, with which a later run compares its own.
        notes: What the user should know.
    """

    path: Path
    options: tuple[str, ...]
    space: Space
    hook: dict[str, Any]
    own: dict[str, float] | None
    screening: bool
    fraction: float
    concatenated: tuple[str, ...]
    metric: str | None
    rule: str
    validations: int | None
    seed: int
    described: dict[str, Any]
    notes: tuple[str, ...] = ()

    def block(self, parameters: Mapping[str, float]) -> dict[str, Any]:
        """Returns the hook's ``weights`` for a choice of parameters."""
        return self.space.block(self.hook["weights"], parameters)

    def sampler(self, config: Any, parameters: Mapping[str, float]) -> dict[str, Any] | None:
        """Returns the sampler that draws at the rates of a choice of parameters. None: the config's own.

        Args:
            config: The config.
            parameters: The value of every parameter.
        """
        rates = self.space.rates(parameters)
        return sampler_config(config, [rates[name] for name in self.concatenated]) if rates else None


def make_plan(
    path: Path,
    *,
    options: Sequence[str] = (),
    target: str | None = None,
    heads: Sequence[str] = (),
    low: float = 0.1,
    high: float = 1.0,
    screening: bool = True,
    sampling: bool = False,
    fraction: float = 1.0,
    metric: str | None = None,
    seed: int = 0,
) -> Plan:
    """Builds the model and the training data of a config, without GPU or workers, and plans the search.

    The arguments are those of the command; ``options`` are its ``--cfg-options``.

    Raises:
        WeightError: The config cannot be read or trained with a ``LossWeightHook``, it has only one data set or no validation, or
            a name does not exist.
    """
    config = read_config(path, options)
    missing = [cure for name, cure in _VALIDATION.items() if not config.get(name)]
    if missing:
        raise WeightError(
            f"{path}: the config validates nothing, so weights cannot be compared. It lacks " + ", ".join(missing) + "."
        )
    rule, metric = _rule(config, metric)
    built = build_config(config)
    stops = [problem.message for problem in built.problems if problem.stops and problem.kind != "import"]
    if stops or built.model is None or built.dataset is None:
        raise WeightError("\n".join(stops) or f"{path}: its model or its training data cannot be built.")
    # A mean weight other than 1 acts as a learning rate. Unless the config asks for it, only the shares are searched.
    hook = {"normalize": True, "weights": {}, **Config(dict(hook=built.hook or {})).to_dict()["hook"]}
    weights = hook["weights"] = {} if hook["weights"] is None else hook["weights"]
    try:
        LossWeightHook(**hook)
    except TypeError as error:
        raise WeightError(f"LossWeightHook: {error}") from None
    sources, problems = sources_of(built.dataset, built.sampler, hook.get("datasets"), hook.get("images"))
    if hook.get("classes") is None:
        problems += wrong_classes(sources)
    if problems:
        raise WeightError("\n".join(problems))
    names = [source.name for source in sources]
    weigh_every_head(built.model)
    book = heads_of(built.model).book
    hook["target"] = _target(target or hook.get("target"), names)
    others = tuple(name for name in names if name != hook["target"])
    space = Space(hook["target"], others, _addresses(heads, book), low, high, sampling)
    if sampling:
        check_sampling(config, built.dataset, len(sources))
    check_fraction(config, fraction, weights)
    # One weight has no other to be told from, and two levels of it would say nothing of the noise.
    screening = screening and len(space.parameters) > 1
    own_block = parse_block(weights)
    everywhere = parse_block({**weights, **space.block(weights, space.unweighted)})
    counted = hook.get("objects") is not False
    _, found = mix_of(built.model, sources, everywhere, hook["normalize"], counted, hook.get("labelled"))
    problems = [*(problem.message for problem in found if problem.stops), *_shadowed(sources, space, book)]
    if problems:
        raise WeightError("\n".join(dict.fromkeys(problems)))
    own, why = space.own(own_block, book, hook["normalize"])
    validations = _validations(config.train_cfg)
    return Plan(
        path=path.resolve(),
        options=tuple(options),
        space=space,
        hook=hook,
        own=own,
        screening=screening,
        fraction=fraction,
        concatenated=tuple(names),
        metric=metric,
        rule=rule,
        validations=validations,
        seed=seed,
        described=_described(config, space, hook, metric, rule, seed, screening, fraction),
        notes=tuple(_notes(config, space, hook, book, why, validations)),
    )


def _target(given: str | None, names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names))
    if len(names) < 2:
        raise WeightError(f"the training has one data set, {listed}; there is nothing to weigh it against.")
    if given is None:
        raise WeightError(f"which data set is the detector for? Name it with --target. Its data sets: {listed}.")
    if given not in names:
        raise WeightError(no_such_dataset(f"--target {given!r}", given, names))
    return given


def _addresses(heads: Sequence[str], book: AddressBook) -> tuple[str, ...]:
    if not heads:
        return top_heads(book.weighted)
    problems = []
    for head in heads:
        try:
            if not target_of(head):
                raise WeightError("'' names no head.")
            book.at(target_of(head))
        except WeightError as error:
            problems.append(f"--head {head}: {error}")
    if problems:
        raise WeightError("\n".join(problems))
    return tuple(dict.fromkeys(map(target_of, heads)))


def _shadowed(sources: Sequence[SourceDataset], space: Space, book: AddressBook) -> Iterator[str]:
    """Weights that pipelines set at searched addresses. They win over the block, so the search would change nothing."""
    searched = {book.at(address) for address in space.addresses}
    for source in sources:
        for name in source.fields:
            if book.find(name) in searched:
                yield (
                    f"data set {source.name!r}: its pipeline sets {name}, which wins over the weights that are searched. "
                    "Take the step AddFieldToImgMetas out."
                )


def _rule(config: Any, metric: str | None) -> tuple[str, str | None]:
    """Returns whether greater or less is better and the metric, as mmengine's ``CheckpointHook`` understands them."""
    checkpoint = (config.get("default_hooks") or {}).get("checkpoint") or {}
    best, rules = checkpoint.get("save_best"), checkpoint.get("rule")
    best = [best] if isinstance(best, str) else list(best or ())
    rules = [rules] * len(best) if not isinstance(rules, (list, tuple)) else rules
    if metric is None and best and best[0] != "auto":
        metric = best[0]
    if metric is None:
        return GREATER, None
    keys = {name: checkpoint[name] for name in ("greater_keys", "less_keys") if name in checkpoint}
    rule = known_rule(metric, rule=dict(zip(best, rules)).get(metric), **keys)
    if rule is None:
        raise WeightError(
            f"--metric {metric}: mmengine does not know whether more or less of it is better. If it is spelt right, "
            f"say so in the config: default_hooks=dict(checkpoint=dict(save_best={metric!r}, rule='greater'))."
        )
    return rule, metric


def known_rule(metric: str, **arguments: Any) -> str | None:
    """Whether greater or less of a metric is better, by mmengine's ``CheckpointHook`` with these arguments; None if unknown."""
    try:
        return str(CheckpointHook(save_best=metric, **arguments).rules[0])
    except ValueError:
        return None


def _validations(loop: Any) -> int | None:
    """Counts the validations of a loop; None for one that is not mmengine's own."""
    by_epoch = goes_by_epochs(loop)
    if not by_epoch and type_name(loop) not in ("", "IterBasedTrainLoop"):
        return None
    end = int(loop["max_epochs"] if by_epoch else loop["max_iters"])
    start = int(loop.get("val_interval", 1 if by_epoch else 1000))
    milestones, intervals = calc_dynamic_intervals(start, loop.get("dynamic_intervals"))
    count = 0
    for time in range(max(1, int(loop.get("val_begin", 1))), end + 1):
        interval = [every for since, every in zip(milestones, intervals) if since <= time][-1]
        count += time % interval == 0 or time == end
    return count


def _described(
    config: Any,
    space: Space,
    hook: Mapping[str, Any],
    metric: str | None,
    rule: str,
    seed: int,
    screening: bool,
    fraction: float,
) -> dict[str, Any]:
    """Describes a search as JSON, with a digest of every entry of the config, so that a changed entry can be named."""
    entries = {name: value for name, value in config.to_dict().items() if name not in _IRRELEVANT}
    hooks = weight_hooks(config, {name: value for name, value in hook.items() if name not in ("weights", "interval", "target")})
    own_seed = (config.get("randomness") or {}).get("seed")
    described = {
        "target": space.target,
        "weights that are searched": list(space.parameters),
        "levels": [space.low, space.high],
        "screening": fraction if screening else None,
        "metric": [metric or "first known", rule],
        "weights that are kept": repr(space.block(hook["weights"], space.unweighted)),
        "seed of the trainings": seed if own_seed is None else None,
        **{f"config: {name}": _digest(value) for name, value in entries.items()},
        "config: custom_hooks": _digest([dict(entry) for entry in hooks]),
    }
    decoded: dict[str, Any] = json.loads(json.dumps(described))
    return decoded


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda other: getattr(other, "__qualname__", type(other).__name__))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _notes(
    config: Any, space: Space, hook: Mapping[str, Any], book: AddressBook, why: str, validations: int | None
) -> Iterator[str]:
    if why:
        yield f"The config's own weights are not tried: {why}."
    for dataset, target in space.kept(hook["weights"], book):
        yield f"Kept as it is, and more specific than the weights searched around it: {dataset!r}, {target}."
    if hook["normalize"] is False:
        yield "The hook says normalize=False: the weights that are searched move the heads' learning rates too."
    if validations == 1:
        yield "A training has one validation, at its end: bad trials cannot be stopped early (a smaller val_interval can)."
    if validation_is_test(config):
        yield "Validation and test read the same annotations, so the search sees the test data."


def validation_is_test(config: Any) -> bool:
    """Whether a config validates and tests on the same annotation file."""
    files = []
    for loader in (config.get("val_dataloader"), config.get("test_dataloader")):
        dataset = (loader or {}).get("dataset")
        paths = [annotation_file(source) for source in source_configs(dataset)] if isinstance(dataset, dict) else []
        files.append({str(Path(path)) for path in paths if path})
    return bool(files[0] & files[1])

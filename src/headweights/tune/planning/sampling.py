"""A sampler that draws the data sets of a config at rates of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headweights.errors import WeightError
from headweights.mmdet.config import type_name
from headweights.tune.planning.shortening import goes_by_epochs

# The samplers that draw every image equally often. Another one has a purpose of its own.
_UNIFORM = ("DefaultSampler", "InfiniteSampler")


def sampler_config(config: Any, rates: Sequence[float]) -> dict[str, Any]:
    """Returns the sampler that draws the data sets of a config's ``ConcatDataset`` at these rates, one for each."""
    return {"type": "SourceRateSampler", "source_rates": list(rates), "infinite": not goes_by_epochs(config.train_cfg)}


def check_sampling(config: Any, dataset: Any, sources: int) -> None:
    """Checks that the data sets of a config can be drawn at rates of their own.

    Raises:
        WeightError: They are not the parts of a ``ConcatDataset``, or the config has a sampler with a purpose of its own.
    """
    parts = getattr(dataset, "datasets", None)
    if parts is None or len(parts) != sources:
        raise WeightError(
            "--sampling: train_dataloader.dataset must be a ConcatDataset of the data sets, so that each can be drawn at a rate "
            f"of its own. It is a {type(dataset).__name__}"
            + (f" of {len(parts)} parts with {sources} data sets." if parts else ".")
        )
    sampler = type_name(config.train_dataloader.get("sampler"))
    if sampler not in _UNIFORM:
        raise WeightError(f"--sampling replaces the sampler, and the config has {sampler or None}. Leave one out.")

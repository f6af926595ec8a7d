"""Training steps of mmdetection's detectors, from the configs in its wheel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from support.detectors import make_batch
from support.zoo import ZOO, Architecture, build_zoo, zoo_config
from torch import Tensor, nn

from headweights.mmdet import make_weighted
from headweights.mmdet.heads.model_heads import heads_of
from headweights.provenance.origin import ORIGINS, Origin, Part
from headweights.weights.addresses import AddressBook
from steps.detector import SIZE, Detector


class MMDetDetector(Detector):
    """A detector of mmdetection. All its heads are weighted."""

    framework = "mmdetection"

    @cached_property
    def architecture(self) -> Architecture:
        return next(arch for arch in ZOO if arch.name == self.name)

    def build(self) -> nn.Module:
        return build_zoo(self.architecture, zoo_config(self.architecture, shallow=False))

    def weigh(self, model: nn.Module) -> AddressBook:
        for path in self.architecture.parts:
            make_weighted(model.get_submodule(path))
        return heads_of(model).book

    def batch(self, model: nn.Module, images: int) -> dict[str, Any]:
        return make_batch(model, images=images, size=SIZE)

    def name_data_sets(self, batch: dict[str, Any], names: Sequence[str]) -> None:
        for sample, name in zip(batch["data_samples"], names):
            sample.set_metainfo({ORIGINS: (Part(Origin(name)),)})

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        return summed(model.loss(batch["inputs"], batch["data_samples"]))


def summed(losses: Mapping[str, Any]) -> Tensor:
    """The sum of a detector's losses, of which some are lists."""
    parts = [value for name, value in losses.items() if "loss" in name]
    return sum(sum(part) if isinstance(part, (list, tuple)) else part for part in parts)  # type: ignore[return-value]

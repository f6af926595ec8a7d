"""Training steps of transformers' detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from support.transformers_zoo import ZOO, Architecture, build
from torch import Tensor, nn

from headweights.transformers import weigh
from headweights.transformers.weighting.labels import DATASET
from headweights.transformers.weighting.models import losses_of
from headweights.weights.addresses import AddressBook
from steps.detector import SIZE, Detector

OBJECTS = 5
# The settings with which the zoo makes its models shallow. Without them they are as deep as the model's class has them.
_DEPTHS = ("encoder_layers", "decoder_layers", "depths", "layer_type", "stage_num_blocks", "stage_numb_of_layers")


class TransformersDetector(Detector):
    """A detector of transformers, with denoising queries where the zoo has one with them. All its losses are weighted."""

    framework = "transformers"

    @cached_property
    def architecture(self) -> Architecture:
        by_name = {arch.name: arch for arch in ZOO}
        arch = by_name.get(f"{self.name}-denoising") or by_name[self.name]
        return replace(arch, settings=deep(arch.settings))

    def build(self) -> nn.Module:
        return build(self.architecture)

    def weigh(self, model: nn.Module) -> AddressBook:
        return losses_of(weigh(model)).book

    def batch(self, model: nn.Module, images: int) -> dict[str, Any]:
        return {**self.architecture.batch([OBJECTS] * images), "pixel_values": torch.rand(images, 3, SIZE, SIZE)}

    def name_data_sets(self, batch: dict[str, Any], names: Sequence[str]) -> None:
        for label, name in zip(batch["labels"], names):
            label[DATASET] = name

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        loss: Tensor = model(**batch).loss
        return loss


def deep(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a model and of its backbone without those that make it shallow."""
    return {name: deep(value) if isinstance(value, dict) else value for name, value in settings.items() if name not in _DEPTHS}

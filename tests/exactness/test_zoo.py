"""Every architecture of mmdetection's model zoo, held against the pixel-gradient oracle."""

from __future__ import annotations

import random
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from support.oracle import summed
from support.zoo import NOT_RUN, ZOO, Architecture, copy_of, stock_model, zoo_batch, zoo_config
from torch import Tensor, nn

from headweights import WeightError
from headweights.mmdet import make_weighted
from headweights.mmdet.heads.model_heads import heads_of

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4
Weights = tuple[float, ...]
# The tests of an architecture share its models and the stock run, so they stay in one process, one after the other.
every_architecture = pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=pytest.mark.xdist_group(arch.name)) for arch in ZOO], ids=str
)


@lru_cache(maxsize=1)
def weighted_model(arch: Architecture) -> nn.Module:
    model = copy_of(stock_model(arch))
    for path in arch.parts:
        make_weighted(model.get_submodule(path))
    return model


class Run:
    """One loss computation of an architecture, from the same state and random numbers each time.

    Args:
        model: A stock or weighted model; a copy of it is used, because some losses keep a state.
        weights: By address without its last part, the weight of each of the two images; of branches, of each branch's.
    """

    def __init__(self, arch: Architecture, model: nn.Module, weights: dict[str, Weights] | None = None) -> None:
        self.arch = arch
        self.model = copy_of(model)
        fields = [{f"{target}.loss_weight": w[image] for target, w in (weights or {}).items()} for image in (0, 1)]
        data = zoo_batch(arch, self.model, fields)
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        inputs = data["inputs"]
        self.pixels = [pixels.detach().clone().requires_grad_() for pixels in as_dict(inputs).values()]
        given = dict(zip(as_dict(inputs), self.pixels)) if isinstance(inputs, dict) else self.pixels[0]
        self.losses: dict[str, Any] = self.model.loss(given, data["data_samples"])
        self.random_state = torch.get_rng_state()

    def pixel_gradient(self, loss: Tensor) -> list[Tensor]:
        """Of one loss, by image (of branches, the images of all of them, one after the other)."""
        gradients = torch.autograd.grad(loss, self.pixels, retain_graph=True, allow_unused=True)
        return [
            image
            for gradient, pixels in zip(gradients, self.pixels)
            for image in (torch.zeros_like(pixels) if gradient is None else gradient)
        ]

    @cached_property
    def by_part(self) -> dict[str, list[Tensor]]:
        return {path: self.pixel_gradient(summed(self.losses, chosen)) for path, chosen in self.arch.parts.items()}

    @cached_property
    def by_loss(self) -> dict[str, list[Tensor]]:
        return {
            name: self.pixel_gradient(summed({name: value}))
            for name, value in self.losses.items()
            if "loss" in name and summed({name: value}).requires_grad
        }

    @cached_property
    def parameter_gradients(self) -> dict[str, Tensor]:
        named = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        gradients = torch.autograd.grad(summed(self.losses), list(named.values()), retain_graph=True, allow_unused=True)
        return {name: gradient for name, gradient in zip(named, gradients) if gradient is not None}


@lru_cache(maxsize=1)
def stock_run(arch: Architecture) -> Run:
    return Run(arch, stock_model(arch))


def as_dict(inputs: Any) -> dict[str, Tensor]:
    return inputs if isinstance(inputs, dict) else {"": inputs}


def as_list(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def error(actual: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected value."""
    return float((actual - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def assert_weighted(arch: Architecture, weights: dict[str, Weights]) -> None:
    """The pixel gradient of each head is that of stock times the head's weight for the image."""
    actual, expected = Run(arch, weighted_model(arch), weights).by_part, stock_run(arch).by_part
    for path, head_weights in weights.items():
        assert any(gradient.abs().max() > 0 for gradient in expected[path]), f"{path} gives stock no gradient"
        for image, (one, stock) in enumerate(zip(actual[path], expected[path])):
            weight = head_weights[image % 2]
            if weight == 0:
                assert one.abs().max() == 0, f"{path}: image {image} weighs 0 and has a gradient"
            elif stock.abs().max() > 0:
                assert error(one, weight * stock) <= TOLERANCE, f"{path}: image {image}, weight {weight}"
            else:
                assert one.abs().max() == 0, f"{path}: image {image} has a gradient that stock has not"


@every_architecture
def test_weights_of_one_are_stock_bit_for_bit(arch: Architecture) -> None:
    stock = stock_run(arch)
    weighted = Run(arch, weighted_model(arch), dict.fromkeys(arch.parts, (1, 1.0)))
    assert torch.equal(weighted.random_state, stock.random_state)
    assert weighted.losses.keys() == stock.losses.keys()
    for name, value in stock.losses.items():
        for one, other in zip(as_list(weighted.losses[name]), as_list(value)):
            assert torch.equal(one, other), name
    expected, actual = stock.parameter_gradients, weighted.parameter_gradients
    assert expected.keys() == actual.keys()
    for name, gradient in expected.items():
        assert torch.equal(actual[name], gradient), name


@every_architecture
def test_each_head_weighs_each_image_by_its_own_weight(arch: Architecture) -> None:
    """Neighbouring heads have different weights, so one that took another's would show."""
    pairs = ((0.3, 5), (0, 2))
    for shift in (0, 1):
        assert_weighted(arch, {path: pairs[(index + shift) % 2] for index, path in enumerate(arch.parts)})


@every_architecture
def test_parameters_learn_from_the_weighted_losses_only(arch: Architecture) -> None:
    """The gradient of every parameter is linear in the weights: no way to a parameter leads around the weights.

    The pixels do not see a parameter that is used in the loss itself.
    """
    stock = stock_run(arch).parameter_gradients
    first = Run(arch, weighted_model(arch), dict.fromkeys(arch.parts, (1, 0))).parameter_gradients
    second = Run(arch, weighted_model(arch), dict.fromkeys(arch.parts, (0, 1))).parameter_gradients
    mixed = Run(arch, weighted_model(arch), dict.fromkeys(arch.parts, (0.3, 5))).parameter_gradients
    largest = max(float(gradient.abs().max()) for gradient in stock.values())
    for name, gradient in stock.items():
        zero = torch.zeros_like(gradient)
        one, other = first.get(name, zero), second.get(name, zero)
        # Before a normalisation layer a bias has no gradient but noise, hence the floor.
        scale = gradient.abs().max() + 1e-3 * largest
        assert (one + other - gradient).abs().max() <= 10 * TOLERANCE * scale, name
        assert (0.3 * one + 5 * other - mixed.get(name, zero)).abs().max() <= 50 * TOLERANCE * scale, name


@every_architecture
def test_every_addressable_loss_has_a_weight_of_its_own(arch: Architecture) -> None:
    """Each logged loss follows one weight: that of the loss that is addressed, or its head's where none is."""
    weights: dict[str, Weights] = {}
    own: dict[str, set[float]] = {}
    for number, path in enumerate(arch.parts):
        weights[path] = (0.5 + 0.001 * number, 1)
        own[path] = {0.5 + 0.001 * number}
        for index, loss in enumerate(heads_of(weighted_model(arch)).book.weighted[path]):
            weights[f"{path}.{loss}"] = (2 + index + 0.001 * number, 1)
            own[path].add(2 + index + 0.001 * number)
    expected = stock_run(arch).by_loss
    actual = Run(arch, weighted_model(arch), weights).by_loss
    followed: dict[str, set[float]] = {path: set() for path in arch.parts}
    for name, stock in expected.items():
        path = next(path for path, chosen in arch.parts.items() if chosen(name))
        if stock[0].abs().max() == 0:
            continue
        following = [weight for weight in own[path] if error(actual[name][0], weight * stock[0]) <= TOLERANCE]
        assert len(following) == 1, f"{name} follows no single weight of {path}"
        followed[path].update(following)
        assert error(actual[name][1], stock[1]) <= TOLERANCE or stock[1].abs().max() == 0
    for path, weights_followed in followed.items():
        addressed = {weight for weight in own[path] if weight >= 2}
        assert addressed <= weights_followed or not weights_followed, f"{path}: an addressable loss moved nothing"


@every_architecture
def test_the_log_includes_the_weights_where_the_head_says_so(arch: Architecture) -> None:
    stock = stock_run(arch).losses
    tens = Run(arch, weighted_model(arch), dict.fromkeys(arch.parts, (10, 10))).losses
    for path, chosen in arch.parts.items():
        factor = 10 if heads_of(weighted_model(arch)).logs_weighted(path) else 1
        torch.testing.assert_close(summed(tens, chosen), factor * summed(stock, chosen), rtol=1e-4, atol=1e-6, msg=path)


@every_architecture
def test_every_loss_belongs_to_a_head(arch: Architecture) -> None:
    for name in stock_run(arch).losses:
        assert sum(chosen(name) for chosen in arch.parts.values() if "loss" in name) == ("loss" in name), name


def test_the_zoo_is_large_and_hardly_anything_is_left_out() -> None:
    assert len(ZOO) >= 65
    assert len(NOT_RUN) <= 5
    assert len({arch.name for arch in ZOO}) == len(ZOO)
    assert len({arch.config for arch in ZOO}) >= 65


def test_a_loss_that_cannot_be_told_apart_is_an_error_that_lists_what_can() -> None:
    arch = next(arch for arch in ZOO if arch.name == "gfl")
    with pytest.raises(WeightError, match=r"bbox_head\.loss_dfl\.loss_weight") as caught:
        Run(arch, weighted_model(arch), {"bbox_head.loss_dfl": (2, 1)})
    assert "'bbox_head.loss_cls.loss_weight'" in str(caught.value)


def test_a_head_that_asks_for_its_exact_class_is_built_as_its_parent() -> None:
    """DETRHead weighs its background class only if its class is DETRHead to the letter."""
    arch = next(arch for arch in ZOO if arch.name == "detr")
    config = zoo_config(arch)
    config.bbox_head.type = "DETRHeadWithWeightPerImage"
    weighted, stock = MODELS.build(config).bbox_head, stock_model(arch).bbox_head
    assert type(weighted).__name__ == "DETRHeadWithWeightPerImage"
    assert weighted.bg_cls_weight == stock.bg_cls_weight != 0
    assert torch.equal(weighted.loss_cls.class_weight, stock.loss_cls.class_weight)

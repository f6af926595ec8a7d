"""Runs of the zoo's architectures whose heads tell objects apart, seen from outside.

The gradient of a head's losses with respect to the outputs of its ``forward`` is taken element by element. With a different
weight for each object, every element's gradient is the stock one times the weight of one object, or of none.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headweights.batch.in_force import InForce, put_in_force
from headweights.mmdet import make_weighted
from headweights.mmdet.heads.model_heads import heads_of
from headweights.mmdet.heads.weighted_head import reason_no_objects
from headweights.provenance.origin import OBJECT_WEIGHTS
from support.oracle import summed
from support.zoo import ZOO, Architecture, copy_of, stock_model, zoo_batch

# Heads of the zoo that cannot tell their objects apart, by architecture; "" is the whole architecture.
WITHOUT_OBJECTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("freeanchor", "ga-retinanet", "ga-rpn", "lad", "autoassign"), ("",)),
    **dict.fromkeys(("centernet", "centernet-update", "cornernet", "centripetalnet"), ("",)),
    **dict.fromkeys(("solo", "decoupled-solo", "decoupled-solo-light", "solov2"), ("",)),
    "ddq-detr": ("",),
    "ga-faster-rcnn": ("rpn_head",),
    **dict.fromkeys(("crowddet", "crowddet-refine"), ("roi_head.bbox_head",)),
    **dict.fromkeys(("htc", "detectors-htc"), ("roi_head.semantic_head",)),
    "scnet": ("roi_head.semantic_head", "roi_head.glbctx_head"),
    "panoptic-fpn": ("semantic_head",),
    "yolact": ("mask_head",),
}

# Run with branches, of which one is labelled by the teacher.
NOT_RUN = ("soft-teacher",)

# Outputs that several objects have a part in: by the number of the output, in the order of the head's predictions.
SHARED = {"yolof": 1, "rtmdet-ins": -1}

OBJECTS = (3, 4)  # in the two images
PRIMES = ((2.0, 3.0, 5.0), (7.0, 11.0, 13.0, 17.0))
ONES = tuple(tuple(1.0 for _ in primes) for primes in PRIMES)
BORDER = " within the border"


def kind(arch: Architecture) -> str:
    """The name of an architecture that is run in a variant."""
    return arch.name.removesuffix(BORDER)


@cache
def parts_of(arch: Architecture) -> dict[str, Callable[[str], bool]]:
    """The heads that tell objects apart."""
    model = copy_of(stock_model(arch))
    return {
        path: chosen for path, chosen in arch.parts.items() if reason_no_objects(make_weighted(model.get_submodule(path))) is None
    }


@cache
def with_background(arch: Architecture) -> set[str]:
    """The heads that learn from predictions that are matched to no object."""
    backgrounds = heads_of(weighted_model(arch)).book.backgrounds
    return {path for path in parts_of(arch) if backgrounds[path] and not isinstance(backgrounds[path], str)}


@lru_cache(maxsize=1)
def weighted_model(arch: Architecture) -> nn.Module:
    model = copy_of(stock_model(arch))
    for path in parts_of(arch):
        make_weighted(model.get_submodule(path))
    return model


EVERY_ARCHITECTURE = [arch for arch in ZOO if "" not in WITHOUT_OBJECTS.get(arch.name, ()) and arch.name not in NOT_RUN]


def each(archs: list[Architecture]) -> pytest.MarkDecorator:
    """A test for each of these; the tests of an architecture share its models and runs, so they stay in one process."""
    return pytest.mark.parametrize("arch", [pytest.param(a, marks=pytest.mark.xdist_group(kind(a))) for a in archs], ids=str)


every_architecture = each(EVERY_ARCHITECTURE)

Change = Callable[[int, Any], None]


class Run:
    """One loss computation, from the same state and random numbers each time.

    Args:
        objects: The objects' own weights, image by image.
        images: The images' weights in every head.
        change: Changes each image's data sample.
        weights: What data sets weigh and label.
        backgrounds: The weights of the images' backgrounds in every head that has one.
    """

    def __init__(
        self,
        arch: Architecture,
        model: nn.Module,
        objects: tuple[tuple[float, ...], ...] | None = None,
        images: tuple[float, float] | None = None,
        change: Change | None = None,
        weights: InForce | None = None,
        backgrounds: tuple[float, float] | None = None,
    ) -> None:
        self.model = copy_of(model)
        fields: list[dict[str, Any]] = [{}, {}]
        for image, own in enumerate(fields):
            own.update({f"{path}.loss_weight": images[image] for path in parts_of(arch) if images})
            own.update({f"{path}.background.loss_weight": backgrounds[image] for path in with_background(arch) if backgrounds})
        data = zoo_batch(arch, self.model, fields)
        assert tuple(len(sample.gt_instances) for sample in data["data_samples"]) == OBJECTS
        for index, sample in enumerate(data["data_samples"]):
            if objects is not None:
                sample.gt_instances[OBJECT_WEIGHTS] = torch.tensor(objects[index])
            if change is not None:
                change(index, sample)
        if weights is not None:
            put_in_force(self.model, weights)
        outputs: dict[str, list[Tensor]] = {path: [] for path in parts_of(arch)}
        for path, heard in outputs.items():
            self.model.get_submodule(path).register_forward_hook(lambda _, __, out, heard=heard: heard.extend(trained(out)))
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        self.losses: dict[str, Any] = self.model.loss(data["inputs"], data["data_samples"])
        self.random_state = torch.get_rng_state()
        self.values: dict[str, dict[str, Tensor]] = {}
        self.gradients: dict[str, list[Tensor]] = {}
        self.outputs: dict[str, list[Tensor]] = {}
        self.shared: dict[str, list[Tensor]] = {}
        for path, chosen in parts_of(arch).items():
            total = summed(self.losses, chosen)
            self.values[path] = {
                name: summed({name: self.losses[name]}) for name in self.losses if "loss" in name and chosen(name)
            }
            self.outputs[path] = [out for out in outputs[path] if not leads_to(out, outputs[path])]
            found = gradients(total, self.outputs[path])
            self.shared[path] = []
            if kind(arch) in SHARED:
                self.shared[path].append(found.pop(SHARED[kind(arch)]))
                self.outputs[path].pop(SHARED[kind(arch)])
            self.gradients[path] = found

    def parameter_gradients(self) -> dict[str, Tensor]:
        named = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        found = torch.autograd.grad(summed(self.losses), list(named.values()), retain_graph=True, allow_unused=True)
        return {name: gradient for name, gradient in zip(named, found) if gradient is not None}


def trained(output: Any) -> list[Tensor]:
    """Every tensor with a gradient in a head's output."""
    if isinstance(output, Tensor):
        return [output] if output.requires_grad else []
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else ()
    return [tensor for part in parts for tensor in trained(part)]


def gradients(loss: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(tensor) if gradient is None else gradient for gradient, tensor in zip(found, tensors)]


def leads_to(output: Tensor, others: list[Tensor]) -> bool:
    """Whether other outputs are computed from this one (features that a head hands on): then its gradient is not of one row."""
    rest = [other for other in others if other is not output]
    if not rest:
        return False
    total = torch.stack([other.sum() for other in rest]).sum()
    (gradient,) = torch.autograd.grad(total, output, retain_graph=True, allow_unused=True)
    return gradient is not None and bool(gradient.any())


@lru_cache(maxsize=1)
def stock_run(arch: Architecture) -> Run:
    return Run(arch, stock_model(arch))


@lru_cache(maxsize=1)
def factors(arch: Architecture) -> dict[str, list[Tensor]]:
    """What each element's gradient was multiplied by when each object weighed another prime; 0 for no gradient."""
    return ratios(Run(arch, weighted_model(arch), PRIMES), stock_run(arch))


def ratios(weighted: Run, stock: Run) -> dict[str, list[Tensor]]:
    return {
        path: [torch.where(alive(other), one / other, 0) for one, other in zip(weighted.gradients[path], stock.gradients[path])]
        for path in stock.gradients
    }


def alive(gradient: Tensor) -> Tensor:
    """Where there is a gradient that is more than what rounding leaves."""
    return gradient.abs() > 1e-5 * gradient.abs().max().clamp(min=1e-20)


def assert_factors(actual: dict[str, list[Tensor]], expected: dict[str, list[Tensor]]) -> None:
    for path, tensors in expected.items():
        for one, other in zip(actual[path], tensors):
            torch.testing.assert_close(one, other, rtol=5e-3, atol=1e-6, msg=lambda text, path=path: f"{path}: {text}")


def translated(factor: Tensor, own: dict[float, float]) -> Tensor:
    """The factors with other weights of the objects in place of the primes."""
    result = factor.clone()
    for prime, weight in own.items():
        result[(factor / prime - 1).abs() < 5e-3] = weight
    result[(factor - 1).abs() < 5e-3] = 1
    return result

"""Every architecture of the zoo whose heads tell objects apart: each prediction weighs what its object weighs.

The oracle sees a head from outside: the gradient of its losses with respect to the outputs of its ``forward``, element by
element. With a different weight for each object, every element's gradient is the stock one times the weight of one object, or of
none. Which one, is known without looking: what is matched to an object of weight 0 stays when the object becomes another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.testing import demo_mm_inputs
from support.object_runs import (
    BORDER,
    EVERY_ARCHITECTURE,
    OBJECTS,
    ONES,
    PRIMES,
    SHARED,
    WITHOUT_OBJECTS,
    Run,
    assert_factors,
    each,
    every_architecture,
    factors,
    kind,
    parts_of,
    ratios,
    stock_run,
    translated,
    weighted_model,
)
from support.oracle import summed
from support.zoo import ZOO, Architecture, copy_of, stock_model, zoo_batch
from torch import Tensor, nn

from headweights import WeightError
from headweights.batch.in_force import InForce, put_in_force
from headweights.mmdet import make_weighted
from headweights.mmdet.heads.model_heads import heads_of
from headweights.provenance.origin import OBJECT_ORIGINS, OBJECT_WEIGHTS, ORIGINS, Origin, Part
from headweights.weights.addresses import EVERY_HEAD

pytestmark = pytest.mark.slow

# Their matching asks for the classes of the objects: another class may match other predictions.
MATCHED_BY_CLASS = {
    *("paa", "tood-after-warmup", "fsaf", "yolox", "rtmdet", "rtmdet-ins"),
    *("detr", "conditional-detr", "dab-detr", "deformable-detr", "deformable-detr-refine", "deformable-detr-two-stage"),
    *("dino", "grounding-dino", "sparse-rcnn", "queryinst", "maskformer", "mask2former", "mask2former-panoptic"),
    "ddod",
    # Their losses count the classes of all samples, or rank the samples of a class.
    *("pisa-retinanet", "pisa-ssd", "pisa-faster-rcnn", "pisa-mask-rcnn", "seesaw-mask-rcnn"),
}

# Their masks show neither the class of an object nor where exactly its box is.
WITH_MASKS = {"condinst", "queryinst", "maskformer", "mask2former", "mask2former-panoptic"}

# Its RPN, stock here, draws as many random numbers as it has matches: a box that moves may change what is sampled after.
NOT_MOVED = {"ga-faster-rcnn"}

# A box is moved further where targets are whole pixels.
FURTHER = {"grid-rcnn": 10.0}

# Heads in which none of these changes shows, and whose way of matching is another architecture's. BoxInst learns masks from whole
# pixels of boxes; few of the anchors that DetectoRS samples here are matched to an object.
NOT_SEEN = {"boxinst": "mask_head", **dict.fromkeys(("detectors", "detectors-htc"), "rpn_head")}

# The object of each image that is made another, until one shows in every head: not every head has a match for each object.
CHOICES = ((1, 2), (0, 0), (2, 1), (0, 3))


@every_architecture
def test_weights_of_one_are_stock_bit_for_bit(arch: Architecture) -> None:
    weighted = Run(arch, weighted_model(arch), ONES, images=(1.0, 1.0))
    stock = stock_run(arch)
    assert torch.equal(weighted.random_state, stock.random_state)
    for name, value in stock.losses.items():
        others = weighted.losses[name] if isinstance(value, (list, tuple)) else [weighted.losses[name]]
        for one, other in zip(value if isinstance(value, (list, tuple)) else [value], others):
            assert torch.equal(one, other), name
    expected, actual = stock.parameter_gradients(), weighted.parameter_gradients()
    assert expected.keys() == actual.keys()
    for name, gradient in expected.items():
        assert torch.equal(actual[name], gradient), name


@every_architecture
def test_each_prediction_weighs_what_one_object_weighs_or_none(arch: Architecture) -> None:
    weights = torch.tensor([1.0, *PRIMES[0], *PRIMES[1]])
    for path, tensors in factors(arch).items():
        found = set()
        for factor in tensors:
            live = factor[factor != 0]
            nearest = weights[(live[:, None] - weights).abs().argmin(dim=1)] if len(live) else live
            torch.testing.assert_close(live, nearest, rtol=5e-3, atol=0, msg=lambda text, path=path: f"{path}: {text}")
            found |= set(nearest.tolist())
        # Not every head has a match for each object (too small, too large), but for some of each image.
        assert found & set(PRIMES[0]), f"{path}: no prediction of the first image is matched to an object"
        assert found & set(PRIMES[1]), f"{path}: no prediction of the second image is matched to an object"


PRIORS_THAT_LEARN = ("retinanet", "ssd", "atss", "paa", "gfl", "tood", "tood-after-warmup", "fcos", "rtmdet")


@each([arch for arch in ZOO if arch.name in PRIORS_THAT_LEARN])
def test_the_priors_that_learn_a_box_are_those_that_weigh_what_an_object_weighs(arch: Architecture) -> None:
    """What is matched is seen in stock: only there is a gradient in the boxes."""
    anchors = stock_model(arch).bbox_head.prior_generator.num_base_priors
    levels = len(anchors)
    found, stock = factors(arch)["bbox_head"], stock_run(arch).gradients["bbox_head"]
    total = 0
    for level, at_a_place in enumerate(anchors):
        classes, boxes = (found[level + offset].unflatten(1, (at_a_place, -1)) for offset in (0, levels))
        learns_box = stock[levels + level].unflatten(1, (at_a_place, -1)).abs().amax(dim=2, keepdim=True) > 0
        of_object = (classes - 1).abs() > 5e-3
        assert torch.equal(of_object[classes != 0], learns_box.expand_as(classes)[classes != 0])
        assert ((boxes - 1).abs() > 5e-3).all()
        total += int(learns_box.sum())
    assert total > 0


@every_architecture
def test_weights_of_image_and_object_multiply(arch: Architecture) -> None:
    """The background weighs what its image weighs, an object that times its own; and an object of weight 0 has no gradient."""
    images = (0.25, 3.0)
    objects = ((0.5, 0.0, 1.0), (1.0, 2.0, 0.0, 0.125))
    actual = ratios(Run(arch, weighted_model(arch), objects, images), stock_run(arch))
    of_image = ratios(Run(arch, weighted_model(arch), images=images), stock_run(arch))
    own = dict(zip((*PRIMES[0], *PRIMES[1]), (*objects[0], *objects[1])))
    expected = {
        path: [image * translated(factor, own) for image, factor in zip(of_image[path], factors(arch)[path])] for path in of_image
    }
    assert_factors(actual, expected)


@every_architecture
def test_a_mixed_picture_weighs_each_object_by_the_part_it_came_from(arch: Architecture) -> None:
    """The first image is mixed of two data sets, a quarter and three quarters; its objects come from both."""

    def mix(index: int, sample: Any) -> None:
        if index == 0:
            sample.set_metainfo({ORIGINS: (Part(Origin("real"), 0.25), Part(Origin("rendered"), 0.75))})
            sample.gt_instances[OBJECT_ORIGINS] = torch.tensor([1, 0, 1])
        else:
            sample.set_metainfo({ORIGINS: (Part(Origin("rendered")),)})

    weights = InForce(datasets={"real": {EVERY_HEAD: 4.0}, "rendered": {EVERY_HEAD: 0.5}})
    actual = ratios(Run(arch, weighted_model(arch), change=mix, weights=weights), stock_run(arch))
    background = 0.25 * 4.0 + 0.75 * 0.5
    of_image = ratios(Run(arch, weighted_model(arch), images=(background, 0.5)), stock_run(arch))
    own = dict(zip(PRIMES[0], (0.5 / background, 4.0 / background, 0.5 / background))) | dict.fromkeys(PRIMES[1], 1.0)
    expected = {
        path: [image * translated(factor, own) for image, factor in zip(of_image[path], factors(arch)[path])] for path in of_image
    }
    assert_factors(actual, expected)


@each([arch for arch in ZOO if arch.name in SHARED])
def test_what_several_objects_share_is_the_sum_of_their_parts(arch: Architecture) -> None:
    model = weighted_model(arch)
    actual, stock = Run(arch, model, PRIMES).shared, stock_run(arch).shared
    expected = {path: list(tensors) for path, tensors in stock.items()}
    for image, count in enumerate(OBJECTS):
        for k in range(count):
            without = Run(arch, model, everything_but({image: k})).shared
            for path, tensors in expected.items():
                for index, tensor in enumerate(tensors):
                    tensors[index] = tensor + (PRIMES[image][k] - 1) * (stock[path][index] - without[path][index])
    for path, tensors in expected.items():
        assert len(tensors) == 1
        for one, other, before in zip(actual[path], tensors, stock[path]):
            assert (other - before).abs().max() > before.abs().max()
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def everything_but(chosen: dict[int, int]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(chosen.get(image) != k) for k in range(count)) for image, count in enumerate(OBJECTS))


# What an object is made into: of a data sample and the number of the object.
Making = Callable[[Any, int], None]


def reclassed(sample: Any, k: int) -> None:
    sample.gt_instances.labels[k] = (sample.gt_instances.labels[k] + 1) % 10


def as_found(index: int, sample: Any) -> None:
    """Off the whole pixels, where no two priors lie as well as each other."""
    boxes = sample.gt_instances.bboxes
    tensor = getattr(boxes, "tensor", boxes)
    tensor += torch.tensor([0.137, 0.271, -0.193, -0.311]) * torch.arange(1, len(tensor) + 1)[:, None] / len(tensor)


def moved(pixels: float) -> Making:
    """By so little that the same predictions are matched to it."""

    def make(sample: Any, k: int) -> None:
        boxes = sample.gt_instances.bboxes
        getattr(boxes, "tensor", boxes)[k] += pixels * torch.tensor([1.0, -1.5, -0.5, 1.0])

    return make


def masked(sample: Any, k: int) -> None:
    """A hole in the centre, which stays where it is."""
    mask = sample.gt_instances.masks.masks[k]
    row, column = (int(indices.mean().round()) for indices in np.nonzero(mask))
    hole = mask[row - 2 : row + 3, column - 2 : column + 3]
    hole[:] = 1 - hole


def difference(one: Run, other: Run, path: str, by_value: bool) -> float:
    """The largest difference of what two runs say of a head, relative to the largest gradient, or the loss."""
    found = [
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-20))
        for a, b in zip([*one.gradients[path], *one.shared[path]], [*other.gradients[path], *other.shared[path]])
        if b.any()
    ]
    if by_value:
        pairs = [(value, other.values[path][name]) for name, value in one.values[path].items()]
        found += [float((a - b).abs() / b.abs().clamp(min=1e-20)) for a, b in pairs]
    return max(found)


@every_architecture
def test_an_object_of_weight_0_may_as_well_be_another(arch: Architecture) -> None:
    """So it is this object whose weight its predictions have, and not its neighbour's."""
    model = weighted_model(arch)
    makings: dict[str, Making] = {}
    if kind(arch) not in NOT_MOVED:
        makings["moved"] = moved(0.04 * FURTHER.get(kind(arch), 1))
    if kind(arch) not in MATCHED_BY_CLASS:
        makings["reclassed"] = reclassed
    if kind(arch) in WITH_MASKS:
        makings["masked"] = masked
    stock = Run(arch, stock_model(arch), change=as_found)
    seen = {path: NOT_SEEN.get(kind(arch)) == path for path in parts_of(arch)}
    for chosen in CHOICES:
        without = everything_but(dict(enumerate(chosen)))
        unchanged = Run(arch, model, without, change=as_found)
        for name, making in makings.items():

            def change(index: int, sample: Any, making: Making = making, chosen: tuple[int, int] = chosen) -> None:
                as_found(index, sample)
                making(sample, chosen[index])

            shown, hidden = Run(arch, stock_model(arch), change=change), Run(arch, model, without, change=change)
            for path in seen:
                by_value = heads_of(model).logs_weighted(path)
                size = difference(shown, stock, path, by_value)
                if size > 1e-5:
                    seen[path] = True
                    left = difference(hidden, unchanged, path, by_value)
                    limit = 1e-5 if name == "reclassed" else 0.5 * size  # where a box is, moves some normalisers
                    assert left <= limit, f"{path}: {name}, an object of weight 0 shows: {left:.1e} of {size:.1e}"
        if all(seen.values()):
            return
    raise AssertionError(f"nothing that was changed showed in {[path for path, shown in seen.items() if not shown]}")


def uneven_batch(arch: Architecture, model: nn.Module, fields: Any) -> dict[str, Any]:
    """Images of two sizes: the smaller one is padded, and not all priors are inside of it."""
    np.random.seed(0)
    size = arch.size
    packed = demo_mm_inputs(2, [[3, size, size], [3, size * 2 // 3, size * 5 // 6]], num_items=list(OBJECTS))
    for sample, given in zip(packed["data_samples"], fields or ({}, {})):
        sample.set_metainfo(given)
    data: dict[str, Any] = model.data_preprocessor(packed, True)
    return data


def within_border(config: Any) -> None:
    """Leaves out the anchors that cross the border by far."""
    for part in (config.train_cfg, config.train_cfg.get("rpn", {})):
        if "allowed_border" in part:
            part.allowed_border = 32


UNEVEN = [
    replace(arch, name=f"{arch.name}{suffix}", batch=uneven_batch, narrow=narrow)
    for arch in ZOO
    for suffix, narrow in (("", arch.narrow), (BORDER, lambda config, arch=arch: [arch.narrow(config), within_border(config)]))
    if arch.name in ("retinanet", "rpn", "atss", "paa", "tood", "tood-after-warmup", "vfnet", "sabl-retinanet", "ddod")
    or (arch.name in ("yolof", "fcos", "yolox", "rtmdet", "reppoints", "faster-rcnn", "detr") and not suffix)
]


@pytest.mark.parametrize("arch", UNEVEN, ids=str)
def test_images_of_different_sizes(arch: Architecture) -> None:
    test_each_prediction_weighs_what_one_object_weighs_or_none(arch)
    test_an_object_of_weight_0_may_as_well_be_another(arch)


def test_a_head_that_cannot_tell_objects_apart_says_so() -> None:
    """Objects with weights of their own are an error that says why; a mixed picture without is weighed as a whole."""
    arch = next(arch for arch in ZOO if arch.name == "centernet")
    model = copy_of(stock_model(arch))
    make_weighted(model.bbox_head)
    data = zoo_batch(arch, model)
    data["data_samples"][1].gt_instances[OBJECT_WEIGHTS] = torch.tensor(PRIMES[1])
    with pytest.raises(
        WeightError, match=r"bbox_head \(CenterNetHeadWithWeightPerImage\) cannot give each object .*: its heatmaps"
    ):
        model.loss(data["inputs"], data["data_samples"])

    def mixed(shares: tuple[float, float]) -> Tensor:
        data = zoo_batch(arch, model)
        for sample in data["data_samples"]:
            sample.set_metainfo({ORIGINS: tuple(Part(Origin(name), share) for name, share in zip("ab", shares))})
            sample.gt_instances[OBJECT_ORIGINS] = torch.zeros(len(sample.gt_instances), dtype=torch.long)
        put_in_force(model, InForce(datasets={"a": {EVERY_HEAD: 1.0}, "b": {EVERY_HEAD: 5.0}}))
        pixels = data["inputs"].requires_grad_()
        return torch.autograd.grad(summed(model.loss(pixels, data["data_samples"])), pixels)[0]

    torch.testing.assert_close(mixed((0.5, 0.5)), 3 * mixed((1.0, 0.0)))


@each(ZOO)
def test_the_zoo_knows_which_heads_tell_objects_apart(arch: Architecture) -> None:
    without = WITHOUT_OBJECTS.get(arch.name, ())
    assert set(arch.parts) - set(parts_of(arch)) == (set(arch.parts) if "" in without else set(without))


def test_the_names_of_heads_that_cannot_tell_objects_apart_are_of_the_zoo() -> None:
    assert WITHOUT_OBJECTS.keys() <= {arch.name for arch in ZOO}
    assert {*PRIORS_THAT_LEARN, *SHARED} <= {arch.name for arch in EVERY_ARCHITECTURE}

"""Classes that a data set does not label, in every architecture of the zoo: gradients of class scores, one by one.

What is matched to no object has no gradient at all on a score of such a class (sigmoid), or the gradient of the formula
(softmax). Everything else is stock, bit for bit.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import pytest
import torch
from support.object_runs import EVERY_ARCHITECTURE, Run, each, factors, ratios, stock_run, weighted_model
from support.zoo import ZOO, Architecture, copy_of, stock_model
from torch import Tensor, nn

from headweights.batch.in_force import InForce
from headweights.mmdet import make_weighted
from headweights.mmdet.heads.model_heads import heads_of
from headweights.mmdet.weighting.labelled import ClassHeads, class_heads
from headweights.provenance.origin import ORIGINS, Origin, Part

pytestmark = pytest.mark.slow

CLASSES = 80  # of the data sets of every architecture of the zoo that has classes; panoptic heads also score stuff
# Of each image. The objects of the zoo's images are of the first classes.
UNLABELLED = (frozenset(range(20, 80)), frozenset(range(10, 50)))


# So few priors that an object takes each of them.
ALL_MATCHED = ("yolof",)


# Why no class can be left out of some heads, by architecture.
FIXED = {
    **dict.fromkeys(("ssd", "pisa-ssd", "yolact"), "trains only the background with the highest losses"),
    **dict.fromkeys(("faster-rcnn-ohem",), "OHEMSampler trains only the background with the highest losses"),
    **dict.fromkeys(("pisa-faster-rcnn", "pisa-mask-rcnn"), "ScoreHLRSampler trains only the background"),
    **dict.fromkeys(("centernet", "centernet-update", "cornernet", "centripetalnet"), "heatmaps"),
    **dict.fromkeys(("solo", "decoupled-solo", "decoupled-solo-light", "solov2"), "a cell of its grid"),
    **dict.fromkeys(("grounding-dino", "glip"), "leave the class out of the prompt"),
    "freeanchor": "bag of anchors",
    "ga-retinanet": "map of locations",
    "lad": "teacher",
    "ghm": "GHMC",
    "autoassign": "every object takes part",
    "ddq-detr": "dense queries",
    "seesaw-mask-rcnn": "SeesawLoss",
}
# No head of them has classes.
CLASSLESS = ("rpn", "ga-rpn", "cascade-rpn", "crowddet", "crowddet-refine")
# Their classes are learnt by what is matched to an object alone.
MATCHED_ONLY = ("yolov3", "yolox")
# One architecture of each mechanism and each kind of scores.
ONE_OF_EACH = ("retinanet", "atss", "fcos", "detr", "dino", "mask2former", "faster-rcnn", "sabl-faster-rcnn", "sparse-rcnn")


@lru_cache(maxsize=1)
def weighted(arch: Architecture) -> nn.Module:
    model = copy_of(stock_model(arch))
    for path in arch.parts:
        make_weighted(model.get_submodule(path))
    return model


@cache
def heads(arch: Architecture) -> ClassHeads:
    return class_heads(weighted(arch), CLASSES)


def name_datasets(index: int, sample: Any) -> None:
    sample.set_metainfo({ORIGINS: (Part(Origin("ab"[index])),)})


def labelled_run(arch: Architecture, unlabelled: tuple[frozenset[int], ...] = UNLABELLED) -> Run:
    paths = frozenset(path for path, _ in heads(arch).classifying)
    weights = InForce({"a": {}, "b": {}}, unlabelled=dict(zip("ab", unlabelled)), classifying=paths)
    return Run(arch, weighted_model(arch), change=name_datasets, weights=weights)


def by_class(tensor: Tensor, scored: int) -> Tensor | None:
    """A tensor in the shape of a head's output as (predictions, classes), where the output scores classes; None where not.

    Args:
        tensor: The tensor.
        scored: The number of classes that the head scores, without the background.
    """
    shape = tensor.shape
    for classes in (scored, scored + 1):
        if (shape[-1] == classes and tensor.ndim != 4) or (shape[-1] == classes and shape[1] % classes):
            return tensor.reshape(-1, classes)
        if tensor.ndim == 4 and shape[1] % classes == 0:
            return tensor.unflatten(1, (-1, classes)).movedim(2, -1).reshape(-1, classes)
    return None


@each([arch for arch in EVERY_ARCHITECTURE if arch.name not in (*FIXED, *CLASSLESS, *MATCHED_ONLY)])
def test_only_scores_of_unlabelled_classes_change(arch: Architecture) -> None:
    run, stock = labelled_run(arch), stock_run(arch)
    images = ratios(Run(arch, weighted_model(arch), images=(2.0, 4.0)), stock)
    classifying = {path for path, _ in heads(arch).classifying}
    for path, gradients in stock.gradients.items():
        found = []
        scored = getattr(stock.model.get_submodule(path), "num_classes", 0)
        for number, (expected, actual) in enumerate(zip(gradients, run.gradients[path])):
            scores = by_class(stock.outputs[path][number].detach(), scored) if path in classifying else None
            if scores is None:
                assert torch.equal(actual, expected), path
                continue
            of_objects, of_image = (by_class(f[path][number], scored) for f in (factors(arch), images))
            before, after = by_class(expected, scored), by_class(actual, scored)
            assert of_objects is not None and of_image is not None and before is not None and after is not None
            found += assert_left_out(scores, before, after, of_objects.amax(dim=1), of_image.amax(dim=1), scored)
        if path in classifying and arch.name not in ALL_MATCHED:
            assert set(found) == {0, 1}, f"{path}: images {set(found)} have class scores of the background that changed"


def assert_left_out(scores: Tensor, before: Tensor, after: Tensor, of_object: Tensor, of_image: Tensor, scored: int) -> list[int]:
    """Compares the gradients of class scores, shape (predictions, classes); returns the images whose gradients changed.

    Args:
        scores: The scores.
        before: Their gradients in stock.
        after: Their gradients.
        of_object: What each prediction's gradient is multiplied by if objects weigh primes, shape (predictions,): 1 for the
            background, 0 where there is no gradient.
        of_image: The same for the images, which weigh 2 and 4.
        scored: The number of classes that the head scores, without the background.
    """
    background, matched = (of_object - 1).abs() < 5e-3, of_object > 1.5
    if before.shape[1] > scored:  # stuff weighs what the background weighs, but the score of the background falls
        matched |= before[:, -1] > 0
        background &= ~matched
    assert torch.equal(after[matched], before[matched]), "what is matched to an object changes"
    changed = []
    for image, weight in enumerate((2.0, 4.0)):
        rows = background & ((of_image - weight).abs() < 0.01)
        changed += [image] if not torch.equal(after[rows], before[rows]) else []
        unlabelled = torch.zeros(before.shape[1], dtype=torch.bool)
        unlabelled[list(UNLABELLED[image])] = True
        if before.shape[1] == scored:
            assert torch.equal(after[rows][:, ~unlabelled], before[rows][:, ~unlabelled])
            assert not after[rows][:, unlabelled].any()
        elif rows.any():
            expected = with_unlabelled_in_background(scores[rows].double(), before[rows].double(), unlabelled)
            torch.testing.assert_close(after[rows].double(), expected, rtol=1e-4, atol=1e-6 * float(before[rows].abs().max()))
    # Too small to know what it is matched to: stock or nothing.
    unknown = ~(background | matched)
    if before.shape[1] == scored:
        assert ((after[unknown] == before[unknown]) | (after[unknown] == 0)).all()
    return changed


def with_unlabelled_in_background(scores: Tensor, gradient: Tensor, unlabelled: Tensor) -> Tensor:
    """The gradient of ``-log(p[background] + sum of p[unlabelled])``, with the factor that stock's ``-log p[background]`` has."""
    p = scores.softmax(dim=1)
    factor = gradient[:, -1:] / (p[:, -1:] - 1)
    target = unlabelled.clone()
    target[-1] = True
    return factor * (p - p * target / (p * target).sum(dim=1, keepdim=True))


@each([arch for arch in EVERY_ARCHITECTURE if arch.name in ONE_OF_EACH])
def test_where_all_classes_are_labelled_all_is_stock_bit_for_bit(arch: Architecture) -> None:
    run, stock = labelled_run(arch, (frozenset(), frozenset())), stock_run(arch)
    for path, tensors in stock.gradients.items():
        for one, other in zip(run.gradients[path], tensors):
            assert torch.equal(one, other), path


@each(ZOO)
def test_the_zoo_knows_which_heads_can_leave_classes_out(arch: Architecture) -> None:
    found = heads(arch)
    if arch.name in FIXED:
        assert all(FIXED[arch.name] in reason for reason in found.fixed.values()) and found.fixed
        assert not found.classifying
    elif arch.name in (*CLASSLESS, *MATCHED_ONLY):
        assert not found.fixed and not found.classifying
    else:
        assert not found.fixed and found.classifying
    agnostic = {path for path, _ in found.agnostic}
    assert agnostic == {path for path in arch.parts if path in backgrounds(arch) and tells_no_classes(arch, path)}


def backgrounds(arch: Architecture) -> set[str]:
    known = heads_of(weighted(arch)).book.backgrounds
    return {path for path, losses in known.items() if losses and not isinstance(losses, str)}


def tells_no_classes(arch: Architecture, path: str) -> bool:
    return "rpn" in path or arch.name in (*CLASSLESS, *MATCHED_ONLY)


def test_what_counts_as_classes_depends_on_the_data_sets() -> None:
    """With one class, "object or not" is that class, and an RPN can leave it out."""
    one_class = {arch.name: class_heads(weighted(arch), classes=1) for arch in ZOO if arch.name in ("rpn", "crowddet")}
    assert one_class["rpn"].classifying == [("bbox_head", "loss_cls")]
    assert one_class["crowddet"].classifying == [("rpn_head", "loss_cls")]
    assert one_class["crowddet"].fixed == {"roi_head.bbox_head": "a RoI is matched to several objects at once"}

"""What label dicts may hold, and that everything else which looks like a weight is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from support.transformers_zoo import ZOO, build

from headweights import WeightError
from headweights.batch.in_force import InForce
from headweights.transformers import weigh
from headweights.transformers.weighting.labels import LabelledBatch
from headweights.transformers.weighting.models import WEIGHTED, losses_of
from headweights.weights.addresses import Address

YOLOS = WEIGHTED["YolosForObjectDetection"]
NOTHING = InForce()
CLASSES, BOXES = "loss_ce", "loss_bbox"


NO_OBJECTS = torch.zeros(0, dtype=torch.long)


def batch(*labels: Mapping[Any, Any], in_force: InForce = NOTHING, objects: int = 2) -> LabelledBatch:
    return LabelledBatch(YOLOS, in_force, labels, [torch.arange(objects)] * len(labels))


def message(*labels: Mapping[Any, Any], **settings: Any) -> str:
    with pytest.raises(WeightError) as error:
        batch(*labels, **settings)
    return str(error.value)


def test_without_entries_everything_weighs_one() -> None:
    found = batch({}, {"boxes": torch.ones(2, 4), "image_id": 7, 3: "three"})
    assert found.image_weights(CLASSES, "") is None
    assert found.weight_tables(CLASSES, "") is None
    assert not found.has_objects


@pytest.mark.parametrize(
    ("given", "classes", "boxes"),
    [
        (0.5, 0.5, 0.5),
        (0, 0, 0),
        (np.float32(0.25), 0.25, 0.25),
        ({CLASSES: 0.5}, 0.5, 1),
        ({"": 3, BOXES: 0.5}, 3, 0.5),
        ({"loss_ce.loss_weight": 2}, 2, 1),
    ],
)
def test_an_image_weighs_a_number_or_a_table(given: Any, classes: float, boxes: float) -> None:
    found = batch({}, {"loss_weight": given})
    for target, weight in ((CLASSES, classes), (BOXES, boxes)):
        assert (found.image_weights(target, "") or (1, 1)) == pytest.approx((1, weight))


def test_an_object_weighs_its_own_weight_times_that_of_its_image() -> None:
    found = batch({"loss_weight": 2.0, "loss_weights": torch.tensor([0.5, 3])}, {"loss_weights": torch.tensor([1, 0])})
    tables = found.weight_tables(CLASSES, "")
    assert tables is not None
    assert [table.tolist() for table in tables] == [[2, 1, 6], [1, 1, 0]]


def test_the_data_set_and_the_image_multiply() -> None:
    weights = InForce({"real": {}, "drawn": {Address(CLASSES): 0.5}}, scales={(CLASSES, ""): 4.0})
    found = batch({"dataset": "drawn", "loss_weight": 0.5}, {"dataset": "real"}, in_force=weights)
    assert found.image_weights(CLASSES, "") == (1, 4)
    assert found.image_weights(BOXES, "") == (0.5, 1)


def test_a_data_set_may_be_named_where_none_is_weighed() -> None:
    assert batch({"dataset": "real"}).datasets == ["real"]


@pytest.mark.parametrize(
    "entry",
    ["loss_wieght", "loss_weigth", "Loss_Weight", "loss-weight", "lossweight", "loss_weighs", "loss_weigths", "los_weights"],
)
def test_a_misspelt_entry_is_an_error(entry: str) -> None:
    nearest = "'loss_weights'" if entry.endswith("s") else "'loss_weight'"
    assert message({entry: 1.0}) == f"labels have an entry {entry!r}, which nothing reads. Nearest valid: {nearest}."


@pytest.mark.parametrize(
    "entry",
    [
        "class_labels",
        "boxes",
        "masks",
        "area",
        "iscrowd",
        "orig_size",
        "size",
        "image_id",
        "weight",
        "loss",
        "loss_mask",
        "weights",
    ],
)
def test_an_entry_of_another_name_is_none_of_ours(entry: str) -> None:
    assert batch({entry: -1.0}).image_weights(CLASSES, "") is None


@pytest.mark.parametrize("given", [-0.5, float("nan"), float("inf"), True, None, "0.5", [1.0], torch.tensor(0.5), 1e39])
def test_an_invalid_weight_is_an_error_that_says_where(given: Any) -> None:
    assert message({}, {"loss_weight": given}).startswith("labels[1]['loss_weight'] is ")
    assert message({"loss_weight": {CLASSES: given}}).startswith("labels[0]['loss_weight']: 'loss_ce' is ")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            {"loss_cls": 1.0},
            "labels[0]['loss_weight']: target 'loss_cls': nothing in this model reads it. Nearest valid: 'loss_ce'.",
        ),
        ({"loss_giou": 1.0}, "it is computed from the same predictions as loss_bbox, whose weight is that of both."),
        ({"loss_ce": 1.0, "loss_ce.loss_weight": 1.0}, "labels[0]['loss_weight']: 'loss_ce' is given twice."),
        ({3: 1.0}, "labels[0]['loss_weight']: 3 is not the address of a head"),
    ],
)
def test_a_table_with_a_wrong_target_is_an_error(table: Any, expected: str) -> None:
    assert expected in message({"loss_weight": table})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1.0, 1.0], "is [1.0, 1.0]; it must be a tensor with one number for each of the 2 objects."),
        (
            torch.ones(3),
            "is a torch.float32 tensor of shape (3,); it must be a tensor with one number for each of the 2 objects.",
        ),
        (torch.ones(2, 1), "is a torch.float32 tensor of shape (2, 1);"),
        (torch.ones(2, dtype=torch.complex64), "is a torch.complex64 tensor of shape (2,);"),
        (torch.tensor([1.0, -2.0]), "holds a weight that is negative, infinite or NaN: [1.0, -2.0]."),
        (torch.tensor([1.0, float("nan")]), "holds a weight that is negative, infinite or NaN: [1.0, nan]."),
        (torch.tensor([float("inf"), 1.0]), "holds a weight that is negative, infinite or NaN: [inf, 1.0]."),
    ],
)
def test_invalid_weights_of_objects_are_an_error(given: Any, expected: str) -> None:
    assert message({"loss_weights": torch.ones(2)}, {"loss_weights": given}).startswith(f"labels[1]['loss_weights'] {expected}")


def test_an_image_without_objects_has_an_empty_tensor() -> None:
    found = batch({"loss_weights": torch.ones(0), "loss_weight": 0.5}, objects=0)
    tables = found.weight_tables(CLASSES, "")
    assert tables is not None and [table.tolist() for table in tables] == [[0.5]]


def test_an_image_without_the_name_of_its_data_set_is_an_error_while_data_sets_are_weighed() -> None:
    weights = InForce({"real": {}, "drawn": {}})
    said = message({"dataset": "real"}, {}, in_force=weights)
    assert said.startswith("image 1 of the batch does not say which data set it is of") and "weights.collate(" in said
    said = message({"dataset": "reel"}, in_force=weights)
    assert said == "image 0 of the batch is of data set 'reel', but the loss weights in force are those of 'real', 'drawn'."


def test_a_loss_that_compares_images_cannot_be_weighted_and_is_not_passed_over() -> None:
    contrastive = weigh(build(next(arch for arch in ZOO if arch.name == "oneformer-contrastive")))

    losses = losses_of(contrastive)
    for given, expected in (
        (0.5, "is 0.5 for every loss, and loss_contrastive cannot be weighted: it compares the images of a batch"),
        ({"": 0.5}, "Name the losses that you mean: loss_cross_entropy, loss_mask."),
        ({"loss_contrastive": 0.5}, "target 'loss_contrastive': it compares the images of a batch with each other"),
    ):
        with pytest.raises(WeightError) as error:
            LabelledBatch(losses, NOTHING, [{"loss_weight": given}], [NO_OBJECTS])
        assert expected in str(error.value)
    batch = LabelledBatch(losses, NOTHING, [{"loss_weight": {"": 1, "loss_mask": 0.5}}], [NO_OBJECTS])
    assert batch.image_weights("loss_mask", "") == (0.5,)

"""The weights of a batch become a tensor once for all losses that weigh its images alike."""

from __future__ import annotations

from typing import Any

import torch

from headweights import Address
from headweights.batch.batch import Batch, ImageWeights, PartWeights
from headweights.weights.addresses import EVERY_HEAD


def image(name: str, **weights: float) -> ImageWeights:
    given = {Address("bbox_head", loss): weight for loss, weight in weights.items()}
    return ImageWeights(name, [PartWeights(given, {})])


def test_losses_that_weigh_the_images_alike_share_a_tensor() -> None:
    batch = Batch([image("first", loss_cls=0.5, loss_bbox=0.5, loss_iou=2), image("second", loss_cls=3, loss_bbox=3)])
    like = torch.zeros(1)
    tensors = [batch.tensor(batch.image_weights("bbox_head", loss) or (), like) for loss in ("loss_cls", "loss_bbox", "loss_iou")]
    assert [tensor.tolist() for tensor in tensors] == [[0.5, 3], [0.5, 3], [2, 1]]
    assert tensors[0] is tensors[1]
    assert batch.tensor((0.5, 3.0), torch.zeros(1, device="meta")).device.type == "meta"


# --- the background ---

BACKGROUND = Address("bbox_head", "loss_cls", background=True)
WHOLE_HEAD = Address("bbox_head")


def part(weights: dict[Address, float], own: dict[Address, float] | None = None, share: float = 1.0, **more: Any) -> PartWeights:
    return PartWeights(weights, own or {}, share, **more)


def test_the_background_has_the_first_place_in_the_table() -> None:
    weighted = ImageWeights("first", [part({WHOLE_HEAD: 2, BACKGROUND: 0.5})], torch.zeros(2))
    plain = ImageWeights("second", [part({WHOLE_HEAD: 3})], torch.zeros(1))
    batch = Batch([weighted, plain], {("bbox_head", "loss_cls"): 10})
    assert batch.has_objects
    assert [table.tolist() for table in batch.weight_tables("bbox_head", "loss_cls") or ()] == [[5, 20, 20], [30, 30]]
    assert batch.image_weights("bbox_head", "loss_cls") == (20, 30), "as a whole, an image weighs what its objects weigh"
    assert batch.weight_tables("bbox_head", "loss_bbox") is None, "the boxes have no address of their background"


def test_weights_of_data_set_and_image_multiply_in_the_background_too() -> None:
    own = {Address("", None, background=True): 0.5, EVERY_HEAD: 4.0}
    image = ImageWeights("", [part({BACKGROUND: 0.5}, own)], torch.zeros(1), torch.tensor([3.0]))
    assert [table.tolist() for table in Batch([image]).weight_tables("bbox_head", "loss_cls") or ()] == [[0.25, 12]]


def test_the_background_of_a_mixed_image_is_the_mean_of_its_parts() -> None:
    parts = [part({BACKGROUND: 0.0}, share=0.25), part({WHOLE_HEAD: 2.0}, share=0.75)]
    image = ImageWeights("", parts, torch.zeros(2), part_of=torch.tensor([1, 0]))
    assert [table.tolist() for table in Batch([image]).weight_tables("bbox_head", "loss_cls") or ()] == [[1.5, 2, 1]]


def test_an_image_without_objects_has_a_background() -> None:
    image = ImageWeights("", [part({BACKGROUND: 0.5})])
    assert [table.tolist() for table in Batch([image]).weight_tables("bbox_head", "loss_cls") or ()] == [[0.5]]


# --- classes that are not labelled ---


def test_what_matches_no_object_learns_nothing_of_an_unlabelled_class() -> None:
    images = [
        ImageWeights("first", [part({}, unlabelled=frozenset({1}))], torch.zeros(2)),
        ImageWeights("second", [part({})]),
    ]
    batch = Batch(images)
    assert batch.has_unlabelled
    assert [table.tolist() for table in batch.class_tables(3, torch.zeros(1))] == [[[1, 0, 1], [1, 1, 1], [1, 1, 1]], [[1, 1, 1]]]
    assert batch.unlabelled(3, torch.zeros(1)).tolist() == [[False, True, False], [False] * 3]
    assert not batch.of([1]).has_unlabelled


def test_in_a_mixed_image_a_class_counts_as_labelled_if_every_part_labels_it() -> None:
    parts = [part({}, share=0.9, unlabelled=frozenset({0})), part({}, share=0.1, unlabelled=frozenset({2}))]
    assert ImageWeights("", parts).unlabelled == {0, 2}

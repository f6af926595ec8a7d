"""Where the name of a data set and an image's own weight are written."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BatchFeature

from headweights.transformers import LossWeights
from headweights.transformers.data.entries import labelled

OWN = {"loss_bbox": 0.5}


def test_a_label_dict_gets_the_entries() -> None:
    item = labelled({"pixel_values": 1, "labels": {"boxes": 2}}, "real", OWN)
    assert item == {"pixel_values": 1, "labels": {"boxes": 2, "dataset": "real", "loss_weight": OWN}}


def test_labels_of_an_image_processor_keep_their_type() -> None:
    labels = BatchFeature({"boxes": torch.zeros(1, 4)})
    item = labelled(BatchFeature({"labels": labels}), "real", {})
    assert isinstance(item, BatchFeature) and isinstance(item["labels"], BatchFeature)
    assert item["labels"]["dataset"] == "real"
    assert "dataset" not in labels


def test_of_a_pair_the_target_gets_them() -> None:
    image, target = labelled((1, {"boxes": 2}), "real", {})
    assert (image, target) == (1, {"boxes": 2, "dataset": "real"})


def test_an_item_without_label_dict_gets_them_itself() -> None:
    assert labelled({"image": 1}, "real", OWN) == {"image": 1, "dataset": "real", "loss_weight": OWN}


def test_a_weight_from_a_file_wins_over_the_item_s_own_for_the_same_target() -> None:
    item = labelled({"labels": {"loss_weight": {"loss_bbox": 2.0, "loss_ce": 3.0}}}, "real", OWN)
    assert item["labels"]["loss_weight"] == {"loss_bbox": 0.5, "loss_ce": 3.0}
    assert labelled({"labels": {"loss_weight": 2.0}}, "real", OWN)["labels"]["loss_weight"] == {"": 2.0, "loss_bbox": 0.5}


def test_a_collator_that_makes_label_dicts_does_not_see_the_entries() -> None:
    def collate(items: list[Any]) -> dict[str, Any]:
        assert all(item.keys() == {"image"} for item in items)
        return {"pixel_values": [item["image"] for item in items], "labels": [{"boxes": item["image"]} for item in items]}

    mix = LossWeights().mix(real=[{"image": 1}], synthetic=[{"image": 2, "loss_weights": "by object"}])
    batch = LossWeights().collate(collate)([mix[0], mix[1]])
    assert batch["labels"] == [
        {"boxes": 1, "dataset": "real"},
        {"boxes": 2, "dataset": "synthetic", "loss_weights": "by object"},
    ]


def test_a_collator_without_label_dicts_gets_some() -> None:
    mix = LossWeights().mix(real=[{"mask_labels": 1}])
    batch = LossWeights().collate(lambda items: {"mask_labels": [item["mask_labels"] for item in items]})([mix[0]])
    assert batch == {"mask_labels": [1], "labels": [{"dataset": "real"}]}

"""The name of a data set and an image's own weights find their way into label dicts, or it is an error."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import pytest
import torch
from support.transformers_training import architecture
from support.transformers_zoo import build
from transformers import BatchFeature

from headweights import WeightError
from headweights.transformers import LossWeights
from headweights.transformers.data.entries import labelled


def test_the_label_dict_of_an_item_is_written_into_and_the_item_is_not_changed() -> None:
    item = {"pixel_values": torch.ones(1), "labels": {"class_labels": torch.zeros(1)}}
    carried = labelled(item, "real", {"loss_ce": 0.5})
    assert carried["labels"] == {**item["labels"], "dataset": "real", "loss_weight": {"loss_ce": 0.5}}
    assert carried["pixel_values"] is item["pixel_values"]
    assert item["labels"].keys() == {"class_labels"}
    assert carried.keys() == item.keys()


@pytest.mark.parametrize("kind", [BatchFeature, UserDict])
def test_label_dicts_of_other_kinds_keep_their_kind(kind: Any) -> None:
    item = kind({"labels": kind({"boxes": torch.ones(1, 4)})})
    carried = labelled(item, "real", {})
    assert type(carried) is type(carried["labels"]) is kind
    assert carried["labels"]["dataset"] == "real" and "dataset" not in item["labels"] and "dataset" not in carried
    if kind is BatchFeature:
        assert carried["labels"].to("cpu")["dataset"] == "real"


def test_the_target_of_a_pair_is_written_into() -> None:
    target = {"image_id": 1, "annotations": []}
    image, carried = labelled(("image", target), "real", {"": 2.0})
    assert image == "image" and carried == {**target, "dataset": "real", "loss_weight": {"": 2.0}}
    assert "dataset" not in target


def test_an_item_without_labels_carries_its_entries_itself() -> None:
    assert labelled({"image": 1}, "real", {}) == {"image": 1, "dataset": "real"}
    # A column of class ids is no label dict.
    assert labelled({"image": 1, "labels": [1, 2]}, "real", {}) == {"image": 1, "labels": [1, 2], "dataset": "real"}


def test_weights_that_are_looked_up_win_over_the_items_own_for_the_same_loss() -> None:
    carried = labelled({"loss_weight": {"": 3.0, "loss_ce": 0.5}}, "real", {"loss_ce": 2.0})
    assert carried["loss_weight"] == {"": 3.0, "loss_ce": 2.0}
    assert labelled({"loss_weight": 3.0}, "real", {"loss_ce": 2.0})["loss_weight"] == {"": 3.0, "loss_ce": 2.0}


@pytest.mark.parametrize("item", [torch.ones(1), ["image", {}], ("image", [{}]), ("image", {}, 1), None])
def test_an_item_without_a_place_is_an_error(item: Any) -> None:
    with pytest.raises(
        WeightError, match=rf"^data set 'real' returns a {type(item).__name__}; an item must be a dict, or a pair"
    ):
        labelled(item, "real", {})


@pytest.mark.parametrize("item", [{"labels": {"dataset": "drawn"}}, {"dataset": "drawn"}, (1, {"dataset": "drawn"})])
def test_an_item_that_names_another_data_set_is_an_error(item: Any) -> None:
    with pytest.raises(WeightError, match="an image of data set 'real' says that it is of 'drawn'"):
        labelled(item, "real", {})


def test_an_invalid_weight_of_an_item_is_an_error_where_others_are_looked_up() -> None:
    with pytest.raises(WeightError, match="loss_weight in 'real' is -1"):
        labelled({"loss_weight": -1}, "real", {"loss_ce": 2.0})


# --- collators ---


def make_labels(items: list[Any]) -> dict[str, Any]:
    """A collator that makes the label dicts; it knows no entry of headweights."""
    assert all(item.keys() == {"image", "boxes"} for item in items)
    return {"pixel_values": [item["image"] for item in items], "labels": [{"boxes": item["boxes"]} for item in items]}


def test_a_collator_that_makes_label_dicts_has_the_entries_put_into_them() -> None:
    collate = LossWeights().collate(make_labels)
    weights = torch.ones(2)
    items = [
        {"image": 1, "boxes": 2, "dataset": "real", "loss_weight": 0.5, "loss_weights": weights},
        {"image": 3, "boxes": 4, "dataset": "drawn"},
    ]
    assert collate(items) == {
        "pixel_values": [1, 3],
        "labels": [
            {"boxes": 2, "dataset": "real", "loss_weight": 0.5, "loss_weights": weights},
            {"boxes": 4, "dataset": "drawn"},
        ],
    }


def test_a_model_without_label_dicts_gets_them_from_the_collator() -> None:
    """As with MaskFormer: items hold masks and classes."""
    arch = architecture("maskformer")
    both = arch.batch((2, 1))
    datasets = [[{name: value[image] for name, value in both.items()}] for image in range(2)]
    weights = LossWeights({"real": 1.0, "drawn": {"loss_mask": 0.5}})
    mix = weights.mix(real=datasets[0], drawn=datasets[1])

    def collate(items: list[Any]) -> dict[str, Any]:
        batch = {name: [item[name] for item in items] for name in ("pixel_values", "mask_labels", "class_labels")}
        return {**batch, "pixel_values": torch.stack(batch["pixel_values"])}

    batch = weights.collate(collate)([mix[0], mix[1]])
    assert batch["labels"] == [{"dataset": "real"}, {"dataset": "drawn"}]
    model = weights.weigh(build(arch), mix)
    model(**batch).loss.backward()
    with pytest.raises(WeightError, match=r"image 0 of the batch does not say which data set it is of.*weights\.collate\("):
        model(**collate([mix[0], mix[1]]))

"""with_weight_per_image: the classes it makes, their names, and what it refuses."""

from __future__ import annotations

import copy
import pickle

import pytest
from mmdet.models.dense_heads import RetinaHead, RPNHead
from mmdet.models.roi_heads import PISARoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead, ConvFCBBoxHead, Shared2FCBBoxHead
from mmdet.registry import MODELS

from headweights import WeightError
from headweights.mmdet import with_weight_per_image

SEED = ["RPNHead", "BBoxHead", "ConvFCBBoxHead", "Shared2FCBBoxHead"]
FAMILY = ["Shared4Conv1FCBBoxHead", "DoubleConvFCBBoxHead", "SCNetBBoxHead"]


@pytest.mark.parametrize("name", [*SEED, *FAMILY])
def test_the_weighted_heads_are_registered_and_subclass_their_stock_head(name: str) -> None:
    weighted = MODELS.get(name + "WithWeightPerImage")
    assert issubclass(weighted, MODELS.get(name))
    assert weighted is with_weight_per_image(MODELS.get(name))
    assert weighted.__name__ == name + "WithWeightPerImage"
    assert weighted.__doc__


@pytest.mark.parametrize("head", [RPNHead, RetinaHead, BBoxHead, ConvFCBBoxHead, Shared2FCBBoxHead])
def test_asking_twice_gives_the_same_class(head: type) -> None:
    weighted = with_weight_per_image(head)
    assert with_weight_per_image(head) is weighted
    assert with_weight_per_image(weighted) is weighted


def test_a_head_of_ones_own_is_a_name_away() -> None:
    @with_weight_per_image
    class MyBBoxHead(Shared2FCBBoxHead):  # type: ignore[misc]
        pass

    assert MODELS.get("MyBBoxHeadWithWeightPerImage") is MyBBoxHead
    assert MODELS.build(dict(type="MyBBoxHeadWithWeightPerImage", in_channels=4, fc_out_channels=8, num_classes=2)).with_cls


def test_every_registered_class_can_be_pickled() -> None:
    weighted = [cls for name, cls in MODELS.module_dict.items() if name.endswith("WithWeightPerImage")]
    assert with_weight_per_image(PISARoIHead) in weighted
    assert [pickle.loads(pickle.dumps(cls)) for cls in weighted] == weighted


def test_heads_can_be_pickled_and_copied() -> None:
    head = MODELS.build(dict(type="RPNHeadWithWeightPerImage", in_channels=4, feat_channels=4))
    assert type(pickle.loads(pickle.dumps(head))) is type(head)
    assert type(copy.deepcopy(head)) is type(head)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("RoITrackHead", "tracking"),
        ("QuasiDenseEmbedHead", "tracking"),
        ("LinearReIDHead", "re-identification"),
        ("CascadeRPNHead", "StageCascadeRPNHeadWithWeightPerImage"),
        ("EmbeddingRPNHead", "computes no loss"),
        ("StandardRoIHead", "weigh its bbox_head"),
        ("FasterRCNN", "is a model"),
        ("ResNet", "no method loss_by_feat"),
    ],
)
def test_what_has_no_loss_per_image_is_refused_by_name_and_reason(name: str, reason: str) -> None:
    with pytest.raises(WeightError, match=f"{name} cannot be weighted: .*{reason}"):
        with_weight_per_image(MODELS.get(name))
    assert name + "WithWeightPerImage" not in MODELS.module_dict


def test_what_is_no_class_of_heads_is_refused() -> None:
    for nothing in (int, "RPNHead", None):
        with pytest.raises(WeightError, match="cannot be weighted"):
            with_weight_per_image(nothing)  # type: ignore[arg-type]

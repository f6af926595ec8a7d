"""The heads of a model by path, weighted and stock."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
from support.detectors import CASCADE_RCNN, FASTER_RCNN, MASK_RCNN, RETINANET, build, make_batch, model_config, weighted_config
from support.oracle import losses_of

from headweights import WeightError
from headweights.mmdet import make_weighted
from headweights.mmdet.heads.model_heads import ModelHeads, forget_heads, heads_of


def test_weighted_and_stock_heads_are_told_apart() -> None:
    heads = ModelHeads(build(weighted_config(model_config(MASK_RCNN), "roi_head.bbox_head")))
    assert heads.book.weighted == {"roi_head.bbox_head": ("loss_cls", "loss_bbox")}
    assert heads.book.stock == {"rpn_head": "RPNHead", "roi_head.mask_head": "FCNMaskHead"}


def test_the_stages_of_a_cascade_have_a_path_each() -> None:
    model = build(weighted_config(model_config(CASCADE_RCNN), "roi_head.bbox_head"))
    heads = heads_of(model)
    assert list(heads.book.weighted) == [f"roi_head.bbox_head.{stage}" for stage in range(3)]
    assert heads.path_of(model.roi_head.bbox_head[2]) == "roi_head.bbox_head.2"


def test_a_one_stage_model_has_its_head_at_bbox_head() -> None:
    heads = heads_of(build(weighted_config(model_config(RETINANET), "bbox_head")))
    assert heads.find("bbox_head.loss_cls.loss_weight") is not None
    with pytest.raises(WeightError, match=r"Nearest valid: 'bbox_head\.loss_weight'"):
        heads.find("roi_head.loss_weight")


def test_a_copy_of_a_model_has_heads_of_its_own() -> None:
    model = build(weighted_config(model_config(FASTER_RCNN), "rpn_head"))
    twin = copy.deepcopy(model)
    assert heads_of(model) is heads_of(model)
    assert heads_of(twin).path_of(twin.rpn_head) == "rpn_head"
    with pytest.raises(WeightError, match="not a part of the model"):
        heads_of(twin).path_of(model.rpn_head)


def test_a_head_that_is_made_weighted_later_is_found() -> None:
    model = build(model_config(FASTER_RCNN))
    assert heads_of(model).book.weighted == {}
    make_weighted(model.rpn_head)
    assert heads_of(model).path_of(model.rpn_head) == "rpn_head"


def test_a_head_that_is_put_in_later_is_an_error_until_the_model_is_looked_at_anew() -> None:
    model, other = (build(weighted_config(model_config(FASTER_RCNN), "rpn_head")) for _ in range(2))
    heads_of(model)
    model.rpn_head = other.rpn_head
    with pytest.raises(WeightError, match=r"RPNHeadWithWeightPerImage is not a part .* call headweights\.mmdet\.forget_heads"):
        losses_of(model, make_batch(model))
    forget_heads()
    losses_of(model, make_batch(model))


def test_a_model_is_not_kept_alive() -> None:
    model = build(weighted_config(model_config(FASTER_RCNN), "rpn_head"))
    heads_of(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None

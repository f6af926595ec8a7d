"""Where weighting would be easy to get wrong: samplers that look at losses, losses that misuse weights, batches that change."""

from __future__ import annotations

import pytest
import torch
from support.detectors import FASTER_RCNN, RETINANET, build, make_batch, model_config, pair, weighted_config
from support.oracle import assert_scaled, losses_of, pixel_gradients

pytestmark = pytest.mark.slow

ROI = "roi_head.loss_weight"
ROI_PART = {"roi": lambda name: "rpn" not in name}
EVERYTHING = {"all": lambda name: True}
OHEM = "faster_rcnn/faster-rcnn_r50_fpn_ohem_1x_coco.py"
TRIDENT = "tridentnet/tridentnet_r50-caffe_1x_coco.py"
GHM = "ghm/retinanet_r50_fpn_ghm-1x_coco.py"


def test_ohem_chooses_the_rois_that_it_would_have_chosen() -> None:
    stock, weighted = pair(OHEM, "roi_head.bbox_head")
    expected = pixel_gradients(stock, make_batch(stock), ROI_PART)["roi"]
    for weights in ((0.3, 5), (0, 1)):
        actual = pixel_gradients(weighted, make_batch(weighted, [{ROI: weight} for weight in weights]), ROI_PART)["roi"]
        assert_scaled(actual, expected, weights, 1e-5)


def test_tridentnet_repeats_the_batch_for_each_branch() -> None:
    stock, weighted = pair(TRIDENT, "rpn_head", "roi_head.bbox_head")
    expected = pixel_gradients(stock, make_batch(stock), EVERYTHING)["all"]
    fields = [{ROI: weight, "rpn_head.loss_weight": weight} for weight in (0.3, 5)]
    actual = pixel_gradients(weighted, make_batch(weighted, fields), EVERYTHING)["all"]
    assert_scaled(actual, expected, (0.3, 5), 1e-5)


@pytest.mark.parametrize(("name", "logged_is_weighted"), [(RETINANET, True), (GHM, False)])
def test_a_loss_that_does_not_carry_weights_is_gated(name: str, logged_is_weighted: bool) -> None:
    """GHM bins its samples by gradient and ignores how large a weight is: riding on its weights would do nothing."""
    stock, weighted = pair(name, "bbox_head")
    stock.bbox_head.loss_cls.momentum = stock.bbox_head.loss_bbox.momentum = 0
    weighted.bbox_head.loss_cls.momentum = weighted.bbox_head.loss_bbox.momentum = 0
    expected = pixel_gradients(stock, make_batch(stock), EVERYTHING)["all"]
    for weights in ((0.3, 5), (0, 1)):
        data = make_batch(weighted, [{"bbox_head.loss_weight": weight} for weight in weights])
        assert_scaled(pixel_gradients(weighted, data, EVERYTHING)["all"], expected, weights, 1e-5)
    tens = losses_of(weighted, make_batch(weighted, [{"bbox_head.loss_weight": 10}] * 2))
    ones = losses_of(weighted, make_batch(weighted))
    ratio = torch.stack(tens["loss_cls"]).sum() / torch.stack(ones["loss_cls"]).sum()
    torch.testing.assert_close(ratio.item(), 10.0 if logged_is_weighted else 1.0, rtol=1e-5, atol=0)


def test_an_image_without_objects_keeps_to_its_weight() -> None:
    stock, weighted = pair(FASTER_RCNN, "rpn_head", "roi_head.bbox_head")
    expected = pixel_gradients(stock, make_batch(stock, num_items=[0, 4]), EVERYTHING)["all"]
    fields = [{ROI: weight, "rpn_head.loss_weight": weight} for weight in (0.3, 5)]
    actual = pixel_gradients(weighted, make_batch(weighted, fields, num_items=[0, 4]), EVERYTHING)["all"]
    assert_scaled(actual, expected, (0.3, 5), 1e-5)


def test_a_single_image_and_many() -> None:
    stock = build(model_config(FASTER_RCNN))
    weighted = build(weighted_config(model_config(FASTER_RCNN), "rpn_head", "roi_head.bbox_head"))
    for weights in ((3.0,), (0.1, 0.2, 0.0, 1.0, 7.0)):
        expected = pixel_gradients(stock, make_batch(stock, images=len(weights)), ROI_PART)["roi"]
        data = make_batch(weighted, [{ROI: weight} for weight in weights], images=len(weights))
        assert_scaled(pixel_gradients(weighted, data, ROI_PART)["roi"], expected, weights, 1e-5)

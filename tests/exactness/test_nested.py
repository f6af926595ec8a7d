"""Detectors inside other models: the addresses speak of the outermost one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample
from support.detectors import FASTER_RCNN, build, make_batch, model_config, weighted_config
from support.oracle import assert_scaled, losses_of, pixel_gradients, summed
from torch import nn

from headweights import WeightError
from headweights.mmdet import make_weighted

pytestmark = pytest.mark.slow

PREPROCESSOR = dict(type="DetDataPreprocessor", pad_size_divisor=32)


def tracker(kind: str, detector: Any, **more: Any) -> nn.Module:
    """A tracker of mmdetection around a detector, in training mode with frozen normalisation layers."""
    return build(dict(type=kind, data_preprocessor=PREPROCESSOR, detector=detector, **more))


def test_the_detector_inside_a_tracker() -> None:
    """ByteTrack, OC-SORT and the like train their detector alone."""
    config = model_config(FASTER_RCNN)
    config.pop("data_preprocessor")
    stock = tracker("ByteTrack", config)
    weighted = tracker("ByteTrack", weighted_config(config, "rpn_head", "roi_head.bbox_head"))
    weighted.load_state_dict(stock.state_dict(), strict=True)
    parts = {"rpn": lambda name: "rpn" in name, "roi": lambda name: "rpn" not in name}
    fields = [{"detector.rpn_head.loss_weight": rpn, "detector.roi_head.loss_weight": roi} for rpn, roi in ((0.3, 2), (5, 0))]
    expected = pixel_gradients(stock, make_batch(stock), parts)
    batch = make_batch(stock, fields)
    pixels = batch["inputs"].clone().requires_grad_()
    torch.manual_seed(0)
    losses = weighted.loss(pixels, batch["data_samples"])
    for part, weights in {"rpn": (0.3, 5), "roi": (2, 0)}.items():
        (gradient,) = torch.autograd.grad(summed(losses, parts[part]), pixels, retain_graph=True)
        assert_scaled(gradient, expected[part], weights, 1e-5)


def test_a_path_inside_the_detector_is_not_one_of_the_tracker() -> None:
    config = model_config(FASTER_RCNN)
    config.pop("data_preprocessor")
    weighted = tracker("ByteTrack", weighted_config(config, "rpn_head"))
    batch = make_batch(weighted, [{"rpn_head.loss_weight": 2.0}, {}])
    with pytest.raises(WeightError, match=r"Nearest valid: 'detector\.rpn_head\.loss_weight'"):
        losses_of(weighted, batch)


def test_the_detector_inside_a_tracker_of_frame_pairs() -> None:
    """QDTrack is given videos; the detector sees their key frames, whose metainfo counts."""
    config = model_config("qdtrack/qdtrack_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py")
    config.track_head.embed_head.update(in_channels=32, conv_out_channels=32)
    stock, weighted = build(config), build(config)
    weighted.load_state_dict(stock.state_dict(), strict=True)
    for head in (weighted.detector.rpn_head, weighted.detector.roi_head.bbox_head):
        make_weighted(head)
    parts = {"rpn": lambda name: "rpn" in name, "roi": lambda name: name in ("loss_cls", "loss_bbox")}
    one_frame = SimpleNamespace(data_preprocessor=MODELS.build(PREPROCESSOR))
    gradients = {}
    for model, weights in ((stock, ()), (weighted, (0.3, 5.0))):
        frames = [make_batch(one_frame, images=2, size=96, num_items=[3, 3]) for _ in range(2)]
        videos = []
        for image in range(2):
            video = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
            video.video_data_samples = [frame["data_samples"][image] for frame in frames]
            for sample in video.video_data_samples:
                sample.gt_instances.instances_ids = torch.arange(3)
            if weights:
                video.video_data_samples[0].set_metainfo(
                    {"detector.rpn_head.loss_weight": weights[image], "detector.roi_head.loss_weight": weights[1 - image]}
                )
            videos.append(video)
        pixels = torch.stack([frame["inputs"] for frame in frames], 1).requires_grad_()
        torch.manual_seed(0)
        losses = model.loss(pixels, videos)
        gradients[model] = {
            part: torch.autograd.grad(summed(losses, chosen), pixels, retain_graph=True)[0][:, 0]
            for part, chosen in parts.items()
        }
    assert_scaled(gradients[weighted]["rpn"], gradients[stock]["rpn"], (0.3, 5), 1e-5)
    assert_scaled(gradients[weighted]["roi"], gradients[stock]["roi"], (5, 0.3), 1e-5)


def test_a_semi_supervised_teacher_has_no_address() -> None:
    from support.zoo import ZOO, build_zoo, zoo_batch

    arch = next(arch for arch in ZOO if arch.name == "soft-teacher")
    model = build_zoo(arch)
    for path in ("student.rpn_head", "teacher.rpn_head"):
        make_weighted(model.get_submodule(path))
    data = zoo_batch(arch, model, [{"teacher.rpn_head.loss_weight": 2.0}, {}])
    with pytest.raises(WeightError, match=r"Nearest valid: 'student\.rpn_head\.loss_weight'"):
        losses_of(model, data)

"""Detectors built from the config files in mmdetection's own wheel, and batches for them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import mmdet
import numpy as np
import torch
from mmdet.models.backbones.trident_resnet import TridentConv
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from torch import nn

import headweights.mmdet  # noqa: F401  (registers the weighted heads)

register_all_modules()
MMLogger.get_instance("tests", log_level="ERROR")  # mmengine logs how each parameter was initialised

CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"

FASTER_RCNN = "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
FASTER_RCNN_C4 = "faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py"
FASTER_RCNN_4CONV1FC = "gn+ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py"
MASK_RCNN = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
CASCADE_RCNN = "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py"
HTC = "htc/htc_r50_fpn_1x_coco.py"
RETINANET = "retinanet/retinanet_r50_fpn_1x_coco.py"


def model_config(name: str, narrower: int = 8) -> ConfigDict:
    """The `model` of one of mmdetection's configs, by its path below `configs/`: of the same kind, only narrower.

    No weights are loaded, and few priors are sampled.
    """
    model: ConfigDict = Config.fromfile(CONFIGS / name).model
    if "shared_head" in model.get("roi_head", {}):
        narrower = 1  # ResLayer's widths are fixed
        if model.backbone.type == "ResNet":
            model.backbone.depth = model.roi_head.shared_head.depth = 18
            model.rpn_head.update(in_channels=256, feat_channels=256)
            model.roi_head.bbox_roi_extractor.out_channels = 256
            model.roi_head.bbox_head.in_channels = 512
    _narrow(model, narrower)
    return model


def _narrow(config: Any, factor: int) -> None:
    """Divides every number of channels in a config, in place."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key in ("pretrained", "init_cfg"):
                config[key] = None
            elif "channels" in key:
                config[key] = [v // factor for v in value] if isinstance(value, (list, tuple)) else value // factor
            elif key == "num_groups":
                config[key] = value // factor
            else:
                _narrow(value, factor)
        kind = str(config.get("type"))
        if kind == "ResNet":
            config["base_channels"] = 64 // factor
        if kind in ("RandomSampler", "OHEMSampler"):
            config["num"] = 32
    elif isinstance(config, (list, tuple)):
        for value in config:
            _narrow(value, factor)


def weighted_config(config: ConfigDict, *heads: str) -> ConfigDict:
    """A copy of a model config with the heads at these paths made weighted as the seed says: by the name of their type."""
    config = copy.deepcopy(config)
    for path in heads:
        node: Any = config
        for part in path.split("."):
            node = node[int(part)] if part.isdigit() else node[part]
        for head in node if isinstance(node, (list, tuple)) else [node]:
            head["type"] += "WithWeightPerImage"
    return config


def build(config: ConfigDict, seed: int = 0) -> nn.Module:
    """A detector in training mode with its normalisation layers in eval mode, so that images do not meet in a batch."""
    torch.manual_seed(seed)
    model: nn.Module = MODELS.build(copy.deepcopy(config))
    model.init_weights()
    model.train()
    for module in model.modules():
        if isinstance(module, TridentConv):  # mmdetection leaves its weights to chance, NaN among them
            nn.init.kaiming_uniform_(module.weight)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def pair(name: str, *heads: str) -> tuple[nn.Module, nn.Module]:
    """A stock detector, and the same one with the heads at these paths weighted."""
    config = model_config(name)
    stock, weighted = build(config), build(weighted_config(config, *heads))
    weighted.load_state_dict(stock.state_dict(), strict=True)
    return stock, weighted


def make_batch(
    model: nn.Module, fields: list[dict[str, Any]] | None = None, images: int = 2, size: int = 96, **options: Any
) -> dict[str, Any]:
    """A batch of images with boxes, preprocessed as in training, with these fields in each image's metainfo."""
    options.setdefault("with_mask", getattr(model, "with_mask", False))
    np.random.seed(0)  # demo_mm_inputs draws its semantic maps from the global state
    packed = demo_mm_inputs(images, [[3, size, size]] * images, **options)
    for sample, given in zip(packed["data_samples"], fields or [{}] * images):
        sample.set_metainfo(given)
    data: dict[str, Any] = model.data_preprocessor(packed, True)
    return data

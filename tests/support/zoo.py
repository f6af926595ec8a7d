"""mmdetection's model zoo in small: one config per detector architecture, each with the losses that belong to each of its heads.

Every model is built from a config file in mmdetection's own wheel. It is made narrower and shallower, never another kind: the
heads, their losses, assigners and samplers are those of the config.
"""

from __future__ import annotations

import copy
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import mmdet
import numpy as np
import torch
from mmcv.cnn.bricks import DropPath
from mmdet.models.backbones import SSDVGG
from mmdet.models.backbones.trident_resnet import TridentConv
from mmdet.models.layers import DropBlock
from mmdet.models.layers.transformer import MLP
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_proposals
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.structures import PixelData
from torch import Tensor, nn

from support.detectors import CONFIGS, build, make_batch
from support.oracle import LossFilter, losses_of, pixel_gradients, summed

# ----------------------------------------------------------------------------------------------------------------------
# What an architecture is
# ----------------------------------------------------------------------------------------------------------------------

Fields = list[dict[str, Any]] | None
Batch = dict[str, Any]


def _plain_batch(arch: Architecture, model: nn.Module, fields: Fields) -> Batch:
    """Images with boxes, and masks where the detector has a mask head."""
    return make_batch(model, fields, size=arch.size, num_items=[3, 4])


@dataclass(frozen=True, eq=False)
class Architecture:
    """A detector of mmdetection and which of its heads computes which of its losses.

    Args:
        name: A short name.
        config: The path of its config below mmdetection's ``configs``.
        parts: For each head, by the path of its module in the detector, which of the logged losses are its own. Every loss
            belongs to exactly one head.
        narrow: Changes the narrowed config further, in place.
        ready: Changes the built model, in place: where weights would be left to chance, give no signal, or where a loss has a
            memory that would tell one call from the next.
        batch: Makes the batch.
        size: The side of the square images.
    """

    name: str
    config: str
    parts: Mapping[str, LossFilter]
    narrow: Callable[[ConfigDict], None] = lambda model: None
    ready: Callable[[nn.Module], None] = lambda model: None
    batch: Callable[[Architecture, nn.Module, Fields], Batch] = _plain_batch
    size: int = 96

    def __str__(self) -> str:
        return self.name


# ----------------------------------------------------------------------------------------------------------------------
# Whose losses
# ----------------------------------------------------------------------------------------------------------------------


def _any(name: str) -> bool:
    return True


def _with(*words: str) -> LossFilter:
    """The losses whose names contain one of these words."""
    return lambda name: any(word in name for word in words)


def _without(*words: str) -> LossFilter:
    """The losses whose names contain none of these words."""
    return lambda name: not any(word in name for word in words)


def _stage(prefix: str, *but: str) -> LossFilter:
    """The losses of one stage, but those whose names contain one of these words."""
    return lambda name: name.startswith(prefix) and not any(word in name for word in but)


def _stage_with(prefix: str, word: str) -> LossFilter:
    return lambda name: name.startswith(prefix) and word in name


ONE_STAGE = {"bbox_head": _any}
ONE_MASK_STAGE = {"mask_head": _any}
RPN_ALONE = {"bbox_head": _any}  # `rpn_head` in the config
TWO_STAGE = {"rpn_head": _with("rpn"), "roi_head.bbox_head": _without("rpn")}
MASK = {"rpn_head": _with("rpn"), "roi_head.bbox_head": _without("rpn", "mask"), "roi_head.mask_head": _with("mask")}
QUERY_MASKS = {"panoptic_head": _any}
SEMANTIC = {"roi_head.semantic_head": _with("semantic")}


def _cascade(stages: int = 3, masks: bool = False) -> dict[str, LossFilter]:
    """The RPN and a bbox head (and a mask head) for each stage of a cascade."""
    parts: dict[str, LossFilter] = {"rpn_head": _with("rpn")}
    for stage in range(stages):
        parts[f"roi_head.bbox_head.{stage}"] = _stage(f"s{stage}.", "mask")
        if masks:
            parts[f"roi_head.mask_head.{stage}"] = _stage_with(f"s{stage}.", "mask")
    return parts


def _sparse(masks: bool = False) -> dict[str, LossFilter]:
    """The stages of Sparse R-CNN and QueryInst, whose RPN has learnt boxes and no loss."""
    parts: dict[str, LossFilter] = {}
    for stage in range(SPARSE_STAGES):
        parts[f"roi_head.bbox_head.{stage}"] = _stage(f"s{stage}.", "mask")
        if masks:
            parts[f"roi_head.mask_head.{stage}"] = _stage_with(f"s{stage}.", "mask")
    return parts


# ----------------------------------------------------------------------------------------------------------------------
# Narrow, not another kind
# ----------------------------------------------------------------------------------------------------------------------

FACTOR = 8
SPARSE_STAGES = 2

_WIDTHS = re.compile(r".*channels?|embed_dims?|num_feats|[vl]_dim|num_deconv_filters|(rfp_)?inplanes")
_DEPTHS = ("num_layers", "stacked_convs", "num_convs", "num_stacked_convs", "stack_times")
_COUNTS = {
    "num_queries": 20,
    "num_proposals": 20,
    "num_dn_queries": 8,
    "nms_pre": 200,
    "max_per_img": 60,
    "nms_post": 60,
}


def _thinner(value: Any) -> Any:
    """A number of channels, or several, divided; small ones mean something and stay."""
    if isinstance(value, (list, tuple)):
        return type(value)(_thinner(item) for item in value)
    return value // FACTOR if type(value) is int and value >= 64 else value


def _narrow(config: Any, shallow: bool = True) -> None:
    """Divides the widths in a config, and takes fewer layers, queries, proposals and samples, in place."""
    if isinstance(config, (list, tuple)):
        for value in config:
            _narrow(value, shallow)
    if not isinstance(config, dict):
        return
    config.pop("pretrained", None)
    if "Pretrained" in str(config.get("init_cfg")):
        config["init_cfg"] = None
    for key, value in config.items():
        if _WIDTHS.fullmatch(key):
            config[key] = _thinner(value)
        elif shallow and key in _DEPTHS and isinstance(value, int):
            config[key] = min(value, 2) if value > 3 else value
        elif key in _COUNTS and isinstance(value, int):
            config[key] = min(value, _COUNTS[key])
        elif key == "num_groups" and value:
            config[key] = value // FACTOR
        _narrow(config[key], shallow)
    kind = str(config.get("type"))
    if kind in ("ResNet", "DetectoRS_ResNet"):
        config["base_channels"] = 64 // FACTOR
        config["depth"] = min(config["depth"], 50)
    if kind.endswith("Sampler") and "num" in config:
        config["num"] = min(config["num"], 32)


def zoo_config(arch: Architecture, shallow: bool = True) -> ConfigDict:
    """The ``model`` of an architecture's config, narrowed; and with few layers, unless they are to be kept."""
    model: ConfigDict = Config.fromfile(CONFIGS / arch.config).model
    model.get("data_preprocessor", {}).pop("batch_augments", None)
    _narrow(model, shallow)
    arch.narrow(model)
    return model


# ----------------------------------------------------------------------------------------------------------------------
# Models and batches
# ----------------------------------------------------------------------------------------------------------------------


def build_zoo(arch: Architecture, config: ConfigDict | None = None) -> nn.Module:
    """The stock model of an architecture, from the same seed each time; or a model of another config of the same architecture.

    In training mode, with normalisation layers in eval mode and without dropout: images do not meet before the losses.
    """
    with _language_config():
        model = build(zoo_config(arch) if config is None else config)
    for module in model.modules():
        if isinstance(module, (nn.modules.dropout._DropoutNd, DropPath, DropBlock)):
            module.eval()
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    torch.manual_seed(0)
    arch.ready(model)
    _wake(model)
    return model


@lru_cache(maxsize=1)
def stock_model(arch: Architecture) -> nn.Module:
    """The stock model of an architecture for all who do not change it; kept until another architecture's is asked for."""
    return build_zoo(arch)


def copy_of(model: nn.Module) -> nn.Module:
    """A copy of a model, its state and what its modules hold included, that shares its parameters, which no loss changes.

    ``copy.deepcopy`` takes longer than the loss that the copy is for.
    """
    return _copied(model, {id(parameter): parameter for parameter in model.parameters()})


_NEVER_CHANGED = (bool, int, float, str, bytes, type(None), type, torch.device, torch.dtype, torch.Size)


def _copied(module: Any, memo: dict[int, Any]) -> Any:
    if id(module) in memo:
        return memo[id(module)]
    if not isinstance(module, nn.Module) or hasattr(module, "__deepcopy__") or isinstance(module, torch.jit.ScriptModule):
        return copy.deepcopy(module, memo)
    made = memo[id(module)] = type(module).__new__(type(module))
    for name, value in vars(module).items():
        if type(value) in _NEVER_CHANGED:
            copied = value
        elif name == "_modules":
            copied = type(value)((key, _copied(child, memo)) for key, child in value.items())
        elif name == "_buffers":
            copied = type(value)((key, None if buffer is None else buffer.clone()) for key, buffer in value.items())
        elif type(value) in (dict, OrderedDict, list, set) and not value:
            copied = type(value)()
        elif type(value) is tuple and all(type(item) in _NEVER_CHANGED for item in value):
            copied = value
        else:
            copied = copy.deepcopy(value, memo)
        vars(made)[name] = copied
    return made


def _wake(model: nn.Module) -> None:
    """Layers that start at zero (the boxes of the DETR family) get weights, or no gradient would go through them."""
    for weight in model.parameters():
        if weight.ndim > 1 and not weight.any():
            nn.init.normal_(weight, std=0.01)


def zoo_batch(arch: Architecture, model: nn.Module, fields: Fields = None) -> Batch:
    """Two images for an architecture, preprocessed as in training, with these fields in their metainfo; the same each time."""
    progress = MessageHub.get_current_instance()  # where TOOD and BoxInst read how far the training is
    progress.update_info("epoch", 0)
    progress.update_info("iter", 10_000)
    return arch.batch(arch, model, fields)


def zoo_gradients(model: nn.Module, data: Batch, parts: Mapping[str, LossFilter]) -> dict[str, Tensor]:
    """The gradient of each part of the losses with respect to the pixels of each image.

    As :func:`support.oracle.pixel_gradients`, and for a batch of branches too: one after the other, those that are trained on.
    A batch serves once: some detectors change its data samples.
    """
    if not isinstance(data["inputs"], dict):
        return pixel_gradients(model, data, parts)
    pixels = {branch: images.detach().clone().requires_grad_(True) for branch, images in data["inputs"].items()}
    losses = losses_of(model, {**data, "inputs": pixels})
    trained = [images for branch, images in pixels.items() if "teacher" not in branch]
    return {
        part: torch.cat(torch.autograd.grad(summed(losses, chosen), trained, retain_graph=True)) for part, chosen in parts.items()
    }


# ----------------------------------------------------------------------------------------------------------------------
# Stand-ins
# ----------------------------------------------------------------------------------------------------------------------

LANGUAGE_DIM = 32


@MODELS.register_module(force=True)
class NarrowSSDVGG(SSDVGG):  # type: ignore[misc]
    """SSD's VGG, narrower: mmcv's VGG has no argument for its width."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for index, layer in enumerate(self.features):
            if isinstance(layer, nn.Conv2d):
                inside = layer.in_channels if layer.in_channels == 3 else layer.in_channels // FACTOR
                self.features[index] = nn.Conv2d(
                    inside,
                    layer.out_channels // FACTOR,
                    layer.kernel_size,
                    padding=layer.padding,
                    dilation=layer.dilation,
                )


class Words:
    """A tokenizer that makes a token of each word and each full stop, as much of one as grounding detectors ask for."""

    def __call__(self, captions: list[str], **kwargs: Any) -> SimpleNamespace:
        spans = [[match.span() for match in re.finditer(r"\w+|[^\w\s]", caption)] for caption in captions]

        def char_to_token(char: int) -> int | None:
            return next((1 + index for index, (start, end) in enumerate(spans[0]) if start <= char < end), None)

        length = 2 + max(len(words) for words in spans)
        return SimpleNamespace(input_ids=torch.arange(length).repeat(len(captions), 1), char_to_token=char_to_token)


@MODELS.register_module(force=True)
class TinyLanguageModel(nn.Module):
    """Stands in for BERT, which would come from a hub: an embedding for each position of the caption."""

    def __init__(self, pad_to_max: bool = False, **kwargs: Any) -> None:
        super().__init__()
        self.tokenizer = Words()
        self.max_tokens = 256
        self.pad_to_max = pad_to_max
        self.embedding = nn.Embedding(self.max_tokens, LANGUAGE_DIM)
        self.language_backbone = nn.Module()
        self.language_backbone.body = nn.Module()
        self.language_backbone.body.language_dim = LANGUAGE_DIM

    def forward(self, captions: list[str], **kwargs: Any) -> dict[str, Any]:
        tokens = self.tokenizer(captions).input_ids
        if self.pad_to_max:
            tokens = nn.functional.pad(tokens, (0, self.max_tokens - tokens.shape[1]))
        embedded = self.embedding(tokens)
        batch, length = tokens.shape
        if self.pad_to_max:
            return dict(embedded=embedded, masks=torch.ones(batch, length), hidden=embedded)
        return dict(
            embedded=embedded,
            masks=torch.ones(batch, length, length, dtype=torch.bool),
            hidden=embedded,
            position_ids=torch.arange(length).repeat(batch, 1),
            text_token_mask=torch.ones(batch, length, dtype=torch.bool),
        )


@contextmanager
def _language_config() -> Iterator[None]:
    """GLIP's head asks the package transformers for nothing but the width of the language model's features."""
    module = "mmdet.models.dense_heads.atss_vlfusion_head.BertConfig"
    with patch(module, SimpleNamespace(from_pretrained=lambda name: SimpleNamespace(hidden_size=LANGUAGE_DIM))):
        yield


# ----------------------------------------------------------------------------------------------------------------------
# What an architecture needs besides
# ----------------------------------------------------------------------------------------------------------------------


def _with_masks(arch: Architecture, model: nn.Module, fields: Fields) -> Batch:
    """Images with boxes and masks, where the detector has no mask head apart."""
    return make_batch(model, fields, size=arch.size, num_items=[3, 4], with_mask=True)


def _things_and_stuff(arch: Architecture, model: nn.Module, fields: Fields) -> Batch:
    """Images with boxes, masks and a map of semantic labels of which some are stuff."""
    data = make_batch(model, fields, size=arch.size, num_items=[3, 4], with_mask=True, with_semantic=True)
    for sample in data["data_samples"]:
        labels = sample.gt_sem_seg.sem_seg // 5 + 80
        sample.gt_sem_seg = PixelData(sem_seg=labels)
    return data


def _with_semantics(arch: Architecture, model: nn.Module, fields: Fields) -> Batch:
    """Images with boxes, masks and a map of semantic labels."""
    return make_batch(model, fields, size=arch.size, num_items=[3, 4], with_mask=True, with_semantic=True)


def _with_proposals(arch: Architecture, model: nn.Module, fields: Fields) -> Batch:
    """Images with boxes, and with proposals near them, as a detector without an RPN is given them."""
    data = _plain_batch(arch, model, fields)
    given = demo_mm_proposals([(3, arch.size, arch.size)] * 2, 40)
    for sample, proposals in zip(data["data_samples"], given):
        sample.proposals = proposals
    return data


def _one_class(arch: Architecture, model: nn.Module, fields: Fields) -> Batch:
    """Images with boxes that are all of the only class."""
    data = _plain_batch(arch, model, fields)
    for sample in data["data_samples"]:
        sample.gt_instances.labels.zero_()
    return data


BRANCHES = ("sup", "unsup_teacher", "unsup_student")


def _branches(arch: Architecture, model: nn.Module, fields: Fields) -> Batch:
    """Two labelled images, and the same again unlabelled, once for the teacher and once for the student."""
    inputs, samples = {}, {}
    for branch in BRANCHES:
        data = make_batch(model.student, fields, size=arch.size, num_items=[3, 4])
        inputs[branch], samples[branch] = data["inputs"], data["data_samples"]
        for sample in samples[branch]:
            sample.set_metainfo(dict(homography_matrix=np.eye(3, dtype=np.float32)))
    return dict(inputs=inputs, data_samples=samples)


TEXT = "cat. dog. horse. red car. tree. sheep. cow. bird. boat. chair."


def _with_texts(arch: Architecture, model: nn.Module, fields: Fields) -> Batch:
    """Images with boxes, and with the text that names their classes."""
    return make_batch(model, fields, size=arch.size, num_items=[3, 4], texts=[TEXT] * 2, custom_entities=True)


def _ssd(model: ConfigDict) -> None:
    model.backbone.type = "NarrowSSDVGG"


def _yolov3(model: ConfigDict) -> None:
    """MobileNetV2 keeps its width, which is small."""
    model.neck.in_channels = [320, 96, 32]


def _csp(model: ConfigDict) -> None:
    """CSPDarknet and CSPNeXt are narrowed by a factor of their own."""
    model.backbone.update(widen_factor=0.125, deepen_factor=0.167)
    model.neck.update(in_channels=[32, 64, 128], out_channels=32)
    model.bbox_head.update(in_channels=32, feat_channels=32)


def _hourglass(model: ConfigDict) -> None:
    model.backbone.update(feat_channel=model.bbox_head.in_channels, stage_blocks=[1] * 6)


def _teacher_gfl(model: ConfigDict) -> None:
    """The teacher is made as narrow as the student, and of random weights."""
    teacher = Config.fromfile(CONFIGS / model.teacher_config.removeprefix("configs/")).model
    _narrow(teacher)
    model.update(teacher_config=dict(model=teacher), teacher_ckpt=None)


def _no_checkpoint(model: ConfigDict) -> None:
    model.teacher_ckpt = None


def _detr(model: ConfigDict) -> None:
    """The head's width is 256 unless it is told."""
    model.bbox_head.embed_dims = model.encoder.layer_cfg.self_attn_cfg.embed_dims


def _wide_transformer(model: Any) -> None:
    """The position encoding of these has a fixed width of 256; that of DINO in upstream's mmdetection only."""
    if isinstance(model, (list, tuple)):
        for value in model:
            _wide_transformer(value)
    elif isinstance(model, dict):
        for key, value in model.items():
            if key in ("embed_dims", "v_dim", "l_dim"):
                model[key] = 256
            elif key == "num_feats":
                model[key] = 128
            else:
                _wide_transformer(value)
        if model.get("type") == "ChannelMapper":
            model["out_channels"] = 256


def _wide_detr(model: ConfigDict) -> None:
    _wide_transformer(model)
    _detr(model)


def _language(model: ConfigDict) -> None:
    model.language_model.type = "TinyLanguageModel"


def _grounding(model: ConfigDict) -> None:
    _language(model)
    _wide_transformer(model)
    model.encoder.num_cp = 0


def _glip(model: ConfigDict) -> None:
    _language(model)
    model.language_model.pad_to_max = True
    model.backbone.depths = [1, 1, 1, 1]
    model.neck.out_channels = 256
    # The head takes its width for the length of the text.
    model.bbox_head.update(num_dyhead_blocks=1, in_channels=256, feat_channels=256)


def _fewer_stages(model: ConfigDict) -> None:
    """Two of six stages."""
    head = model.roi_head
    head.num_stages = SPARSE_STAGES
    for stages in ("stage_loss_weights", "bbox_head", "mask_head"):
        if stages in head:
            head[stages] = head[stages][:SPARSE_STAGES]
    model.train_cfg.rcnn = model.train_cfg.rcnn[:SPARSE_STAGES]


def _few_points(model: ConfigDict) -> None:
    model.train_cfg.num_points = 256


def _ghm_without_memory(model: ConfigDict) -> None:
    """GHM remembers the batches before in a moving average."""
    model.bbox_head.loss_cls.momentum = 0
    model.bbox_head.loss_bbox.momentum = 0


def _seesaw_forgets(model: nn.Module) -> None:
    """Seesaw loss counts the labels of all the batches before."""

    def forget(loss: nn.Module, args: Any) -> None:
        loss.cum_samples.zero_()

    model.roi_head.bbox_head.loss_cls.register_forward_pre_hook(forget)


def _after_warmup(model: ConfigDict) -> None:
    """TOOD assigns by its own predictions only after some epochs."""
    model.train_cfg.initial_epoch = 0


def _cascade_rpn_alone(model: ConfigDict) -> None:
    """This config has not followed the head: it lacks one argument and gives another that is gone."""
    model.rpn_head.num_classes = 1
    for stage in model.rpn_head.stages:
        del stage["sampling"]


def _shared_head(model: ConfigDict) -> None:
    """The shared head, a stage of a ResNet, has widths that cannot be changed; that of a ResNet-18 is the narrowest."""
    model.backbone.base_channels = 16
    model.roi_head.shared_head.depth = 18
    model.rpn_head.in_channels = 256
    model.roi_head.bbox_roi_extractor.out_channels = 256
    model.roi_head.bbox_roi_extractor.roi_layer.output_size = 6
    model.roi_head.bbox_head.update(in_channels=512, roi_feat_size=3)
    model.train_cfg.rcnn.sampler.num = 12


def _trident_weights(model: nn.Module) -> None:
    """Without a checkpoint, TridentNet's convolutions hold whatever was in the memory."""
    for module in model.modules():
        if isinstance(module, TridentConv):
            nn.init.kaiming_normal_(module.weight)


def _settled(model: nn.Module) -> None:
    """Networks of CSP layers start with next to no signal: their normalisation layers get the statistics of their features."""
    batches = [make_batch(model, size=96, num_items=[3, 4], with_mask=masks) for masks in (False, True)]
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        model.bbox_head(model.extract_feat(torch.cat([batch["inputs"] for batch in batches])))
    for norm in norms:
        norm.eval()


def _steady_boxes(model: nn.Module) -> None:
    """QueryInst's proposals start as the whole image and stay about there, or there would be no mask in them."""
    with torch.no_grad():
        for head in model.roi_head.bbox_head:
            head.fc_reg.weight.mul_(0.01)


def _ddod_forgets(model: nn.Module) -> None:
    """DDOD counts the positives of each level in all the batches before."""

    def forget(head: nn.Module, args: Any) -> None:
        head.cls_num_pos_samples_per_level = [0.0] * len(head.cls_num_pos_samples_per_level)

    model.bbox_head.register_forward_pre_hook(forget)


def _grounding_positions(model: nn.Module) -> None:
    """onedl-mmdetection 3.5 widened the positions that DINO's decoder encodes, and forgot this layer of Grounding DINO's."""
    dims = model.decoder.embed_dims
    if mmdet.__version__ >= "3.5":
        model.decoder.ref_point_head = MLP(4 * dims, dims, dims, 2)


def _without_torchvision(model: ConfigDict) -> None:
    """RoIAlign of mmcv, which is the same."""
    model.roi_head.bbox_roi_extractor.roi_layer.use_torchvision = False


def _credulous(model: ConfigDict) -> None:
    """A teacher of random weights is sure of nothing."""
    thresholds = ("pseudo_label_initial_score_thr", "rpn_pseudo_thr", "cls_pseudo_thr")
    model.semi_train_cfg.update(dict.fromkeys(thresholds, 0.0), reg_pseudo_thr=1e9, jitter_times=2)
    model.detector.test_cfg.rcnn.update(score_thr=0.0, max_per_img=4)


def _libra(model: ConfigDict) -> None:
    """The sampler sets its threshold to 0 in the first batch and keeps it; and it fills up missing positives in the order of
    their addresses in memory, so that it must not come to that.
    """
    sampler = model.train_cfg.rcnn.sampler
    sampler.num = 64
    sampler.neg_sampler.floor_thr = 0


# ----------------------------------------------------------------------------------------------------------------------
# The table
# ----------------------------------------------------------------------------------------------------------------------

ZOO = [
    # anchor-based, one stage
    Architecture("retinanet", "retinanet/retinanet_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("retinanet-sepbn", "nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py", ONE_STAGE, size=128),
    Architecture("ssd", "ssd/ssd300_coco.py", ONE_STAGE, narrow=_ssd, size=300),
    Architecture("atss", "atss/atss_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("gfl", "gfl/gfl_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("paa", "paa/paa_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("tood", "tood/tood_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("tood-after-warmup", "tood/tood_r50_fpn_1x_coco.py", ONE_STAGE, narrow=_after_warmup),
    Architecture("tood-anchor-based", "tood/tood_r50_fpn_anchor-based_1x_coco.py", ONE_STAGE),
    Architecture("ddod", "ddod/ddod_r50_fpn_1x_coco.py", ONE_STAGE, ready=_ddod_forgets, size=288),
    Architecture("vfnet", "vfnet/vfnet_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("yolof", "yolof/yolof_r50-c5_8xb8-1x_coco.py", ONE_STAGE),
    Architecture("fsaf", "fsaf/fsaf_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("freeanchor", "free_anchor/freeanchor_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("ga-retinanet", "guided_anchoring/ga-retinanet_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("sabl-retinanet", "sabl/sabl-retinanet_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("pisa-retinanet", "pisa/retinanet-r50_fpn_pisa_1x_coco.py", ONE_STAGE),
    Architecture("pisa-ssd", "pisa/ssd300_pisa_coco.py", ONE_STAGE, narrow=_ssd, size=300),
    Architecture("ld", "ld/ld_r18-gflv1-r101_fpn_1x_coco.py", ONE_STAGE, narrow=_teacher_gfl),
    Architecture("lad", "lad/lad_r50-paa-r101_fpn_2xb8_coco_1x.py", ONE_STAGE, narrow=_no_checkpoint),
    Architecture("ghm", "ghm/retinanet_r50_fpn_ghm-1x_coco.py", ONE_STAGE, narrow=_ghm_without_memory),
    Architecture("libra-retinanet", "libra_rcnn/libra-retinanet_r50_fpn_1x_coco.py", ONE_STAGE),
    Architecture("yolov3", "yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py", ONE_STAGE, narrow=_yolov3),
    # anchor-free
    Architecture("fcos", "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py", ONE_STAGE),
    Architecture("fcos-center-giou", "fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py", ONE_STAGE),
    Architecture("nas-fcos", "nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco.py", ONE_STAGE),
    Architecture("foveabox", "foveabox/fovea_r50_fpn_gn-head-align_4xb4-2x_coco.py", ONE_STAGE),
    Architecture("reppoints", "reppoints/reppoints-moment_r50_fpn-gn_head-gn_1x_coco.py", ONE_STAGE),
    Architecture("reppoints-bbox", "reppoints/reppoints-bbox_r50_fpn-gn_head-gn-grid_1x_coco.py", ONE_STAGE),
    Architecture("autoassign", "autoassign/autoassign_r50-caffe_fpn_1x_coco.py", ONE_STAGE),
    Architecture("centernet", "centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py", ONE_STAGE),
    Architecture("centernet-update", "centernet/centernet-update_r50-caffe_fpn_ms-1x_coco.py", ONE_STAGE),
    Architecture(
        "cornernet", "cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py", ONE_STAGE, narrow=_hourglass, size=128
    ),
    Architecture(
        "centripetalnet",
        "centripetalnet/centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco.py",
        ONE_STAGE,
        narrow=_hourglass,
        size=128,
    ),
    Architecture("yolox", "yolox/yolox_tiny_8xb8-300e_coco.py", ONE_STAGE, narrow=_csp, ready=_settled),
    Architecture("rtmdet", "rtmdet/rtmdet_tiny_8xb32-300e_coco.py", ONE_STAGE, narrow=_csp, ready=_settled),
    # queries
    Architecture("detr", "detr/detr_r50_8xb2-150e_coco.py", ONE_STAGE, narrow=_detr),
    Architecture("conditional-detr", "conditional_detr/conditional-detr_r50_8xb2-50e_coco.py", ONE_STAGE, narrow=_wide_detr),
    Architecture("dab-detr", "dab_detr/dab-detr_r50_8xb2-50e_coco.py", ONE_STAGE, narrow=_detr),
    Architecture("deformable-detr", "deformable_detr/deformable-detr_r50_16xb2-50e_coco.py", ONE_STAGE, narrow=_detr),
    Architecture(
        "deformable-detr-refine", "deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py", ONE_STAGE, narrow=_detr
    ),
    Architecture(
        "deformable-detr-two-stage",
        "deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py",
        ONE_STAGE,
        narrow=_wide_detr,
    ),
    Architecture("dino", "dino/dino-4scale_r50_8xb2-12e_coco.py", ONE_STAGE, narrow=_wide_detr),
    Architecture("ddq-detr", "ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py", ONE_STAGE, narrow=_detr),
    Architecture(
        "grounding-dino",
        "grounding_dino/grounding_dino_r50_scratch_8xb2_1x_coco.py",
        ONE_STAGE,
        narrow=_grounding,
        ready=_grounding_positions,
        batch=_with_texts,
    ),
    Architecture(
        "glip",
        "glip/glip_atss_swin-t_a_fpn_dyhead_16xb2_ms-2x_funtune_coco.py",
        ONE_STAGE,
        narrow=_glip,
        size=64,
        batch=_with_texts,
    ),
    Architecture("sparse-rcnn", "sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py", _sparse(), narrow=_fewer_stages),
    Architecture(
        "queryinst", "queryinst/queryinst_r50_fpn_1x_coco.py", _sparse(masks=True), narrow=_fewer_stages, ready=_steady_boxes
    ),
    # two stages
    Architecture("rpn", "rpn/rpn_r50_fpn_1x_coco.py", RPN_ALONE),
    Architecture("ga-rpn", "guided_anchoring/ga-rpn_r50_fpn_1x_coco.py", RPN_ALONE),
    Architecture(
        "cascade-rpn",
        "cascade_rpn/cascade-rpn_r50-caffe_fpn_1x_coco.py",
        {"bbox_head.stages.0": _stage("s0."), "bbox_head.stages.1": _stage("s1.")},  # `rpn_head` in the config
        narrow=_cascade_rpn_alone,
    ),
    Architecture(
        "cascade-rpn-faster-rcnn",
        "cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py",
        {
            "rpn_head.stages.0": _stage("s0."),
            "rpn_head.stages.1": _stage("s1."),
            "roi_head.bbox_head": _without("rpn"),
        },
    ),
    Architecture("ga-faster-rcnn", "guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco.py", TWO_STAGE),
    Architecture("fast-rcnn", "fast_rcnn/fast-rcnn_r50_fpn_1x_coco.py", {"roi_head.bbox_head": _any}, batch=_with_proposals),
    Architecture("faster-rcnn", "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", TWO_STAGE),
    Architecture("faster-rcnn-giou", "faster_rcnn/faster-rcnn_r50_fpn_giou_1x_coco.py", TWO_STAGE),
    Architecture("faster-rcnn-fcos-rpn", "faster_rcnn/faster-rcnn_r50_fpn_fcos-rpn_1x_coco.py", TWO_STAGE),
    Architecture("faster-rcnn-c4", "faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py", TWO_STAGE, narrow=_shared_head),
    Architecture("faster-rcnn-4conv1fc", "gn+ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py", TWO_STAGE),
    Architecture("faster-rcnn-ohem", "faster_rcnn/faster-rcnn_r50_fpn_ohem_1x_coco.py", TWO_STAGE),
    Architecture("libra-faster-rcnn", "libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py", TWO_STAGE, narrow=_libra),
    Architecture("pisa-faster-rcnn", "pisa/faster-rcnn_r50_fpn_pisa_1x_coco.py", TWO_STAGE),
    Architecture("dynamic-rcnn", "dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py", TWO_STAGE),
    Architecture("double-head", "double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py", TWO_STAGE),
    Architecture("sabl-faster-rcnn", "sabl/sabl-faster-rcnn_r50_fpn_1x_coco.py", TWO_STAGE),
    Architecture("sabl-cascade-rcnn", "sabl/sabl-cascade-rcnn_r50_fpn_1x_coco.py", _cascade()),
    Architecture(
        "grid-rcnn",
        "grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py",
        {"rpn_head": _with("rpn"), "roi_head.bbox_head": _without("rpn", "grid"), "roi_head.grid_head": _with("grid")},
    ),
    Architecture(
        "crowddet",
        "crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman.py",
        TWO_STAGE,
        narrow=_without_torchvision,
        batch=_one_class,
    ),
    Architecture(
        "crowddet-refine",
        "crowddet/crowddet-rcnn_refine_r50_fpn_8xb2-30e_crowdhuman.py",
        TWO_STAGE,
        narrow=_without_torchvision,
        batch=_one_class,
    ),
    Architecture(
        "tridentnet",
        "tridentnet/tridentnet_r50-caffe_1x_coco.py",
        TWO_STAGE,
        narrow=_shared_head,
        ready=_trident_weights,
        size=64,
    ),
    Architecture("cascade-rcnn", "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py", _cascade()),
    Architecture("cascade-mask-rcnn", "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py", _cascade(masks=True)),
    Architecture("htc", "htc/htc_r50_fpn_1x_coco.py", {**_cascade(masks=True), **SEMANTIC}, batch=_with_semantics),
    Architecture("detectors", "detectors/detectors_cascade-rcnn_r50_1x_coco.py", _cascade()),
    Architecture(
        "detectors-htc", "detectors/detectors_htc-r50_1x_coco.py", {**_cascade(masks=True), **SEMANTIC}, batch=_with_semantics
    ),
    Architecture(
        "scnet",
        "scnet/scnet_r50_fpn_1x_coco.py",
        {
            **_cascade(),
            **SEMANTIC,
            "roi_head.mask_head": _with("mask"),
            "roi_head.glbctx_head": _with("glbctx"),
        },
        batch=_with_semantics,
    ),
    Architecture("mask-rcnn", "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", MASK),
    Architecture("pisa-mask-rcnn", "pisa/mask-rcnn_r50_fpn_pisa_1x_coco.py", MASK),
    Architecture(
        "mask-scoring-rcnn",
        "ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py",
        {
            "rpn_head": _with("rpn"),
            "roi_head.bbox_head": _without("rpn", "mask"),
            "roi_head.mask_head": lambda name: name == "loss_mask",
            "roi_head.mask_iou_head": _with("mask_iou"),
        },
    ),
    Architecture(
        "point-rend",
        "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py",
        {
            "rpn_head": _with("rpn"),
            "roi_head.bbox_head": _without("rpn", "mask", "point"),
            "roi_head.mask_head": _with("mask"),
            "roi_head.point_head": _with("point"),
        },
    ),
    Architecture(
        "seesaw-mask-rcnn", "seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py", MASK, ready=_seesaw_forgets
    ),
    Architecture(
        "panoptic-fpn",
        "panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py",
        {
            "rpn_head": _with("rpn"),
            "roi_head.bbox_head": _without("rpn", "mask", "seg"),
            "roi_head.mask_head": _with("mask"),
            "semantic_head": _with("seg"),
        },
        batch=_things_and_stuff,
    ),
    Architecture(
        "soft-teacher",
        "soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py",
        {"student.rpn_head": _with("rpn"), "student.roi_head.bbox_head": _without("rpn")},
        narrow=_credulous,
        batch=_branches,
    ),
    # masks in one stage
    Architecture(
        "yolact",
        "yolact/yolact_r50_1xb8-55e_coco.py",
        {"bbox_head": _without("mask", "segm"), "mask_head": _with("mask", "segm")},
    ),
    Architecture("solo", "solo/solo_r50_fpn_1x_coco.py", ONE_MASK_STAGE),
    Architecture("decoupled-solo", "solo/decoupled-solo_r50_fpn_1x_coco.py", ONE_MASK_STAGE),
    Architecture("decoupled-solo-light", "solo/decoupled-solo-light_r50_fpn_3x_coco.py", ONE_MASK_STAGE),
    Architecture("solov2", "solov2/solov2_r50_fpn_1x_coco.py", ONE_MASK_STAGE),
    Architecture(
        "condinst",
        "condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py",
        {"bbox_head": _without("mask"), "mask_head": _with("mask")},
    ),
    Architecture(
        "boxinst",
        "boxinst/boxinst_r50_fpn_ms-90k_coco.py",
        {"bbox_head": _without("mask"), "mask_head": _with("mask")},
    ),
    Architecture(
        "rtmdet-ins", "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py", ONE_STAGE, narrow=_csp, ready=_settled, batch=_with_masks
    ),
    Architecture("maskformer", "maskformer/maskformer_r50_ms-16xb1-75e_coco.py", QUERY_MASKS, batch=_things_and_stuff),
    Architecture(
        "mask2former", "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py", QUERY_MASKS, narrow=_few_points, batch=_with_masks
    ),
    Architecture(
        "mask2former-panoptic",
        "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py",
        QUERY_MASKS,
        narrow=_few_points,
        batch=_things_and_stuff,
    ),
]

NOT_RUN: dict[str, str] = {
    "clrnet": "detects lanes, which it is given as arrays of points, and no objects; only the maintained fork has it",
    "qdtrack, masktrack-rcnn, mask2former-vis": "trackers: they are given pairs of frames of videos, not images",
    "efficientdet": "not in the package: mmdetection keeps it in projects/, which the wheel leaves out",
}

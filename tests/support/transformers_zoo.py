"""transformers' detectors in small: one tiny, randomly initialised model for every class that computes a detection loss.

Detection here includes instance and universal segmentation. A model differs from a trained one in its sizes, and in a few
coefficients, so that each of its losses has a share. It has two decoder layers or more, its auxiliary losses, and its denoising
queries or groups of queries where its class has them. Nothing is downloaded, and neither timm nor torchvision is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers
from torch import Tensor, nn

Settings = dict[str, Any]
Batch = dict[str, Any]

SIZE = 64  # the side of the square images
CLASSES = 5
QUERIES = 12
# Objects in each image. The middle image has none: its losses have no matched predictions.
OBJECTS = (3, 0, 2)

# ----------------------------------------------------------------------------------------------------------------------
# What an architecture is
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Architecture:
    """A class of transformers that computes a detection loss, and how a tiny model of it is made and fed.

    Args:
        name: A short name.
        model: The name of the class in ``transformers``.
        settings: Its config's arguments. A backbone is a dict with its ``model_type``.
        batch: Makes the arguments of ``forward`` for images with given numbers of objects.
        since: The first major version of transformers in which the class trains like this.
    """

    name: str
    model: str
    settings: Settings
    batch: Callable[[Sequence[int]], Batch]
    since: int = 4

    def __str__(self) -> str:
        return self.name

    @property
    def exists(self) -> bool:
        """Whether the installed transformers has the class and trains it like this."""
        return hasattr(transformers, self.model) and int(transformers.__version__.split(".")[0]) >= self.since

    @property
    def takes_labels(self) -> bool:
        """Whether it takes a list of label dicts; otherwise it takes masks and classes as two lists."""
        return self.batch not in (masks, masks_and_task, masks_and_task_and_text)


# ----------------------------------------------------------------------------------------------------------------------
# Batches
# ----------------------------------------------------------------------------------------------------------------------


def _seeded(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(sum(number * 100**place for place, number in enumerate(numbers)))


def _images(count: int) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=_seeded(1, count))


def _objects(image: int, count: int) -> dict[str, Tensor]:
    """Boxes as centre and size, relative to the image, and their classes."""
    generator = _seeded(2, image, count)
    centres = 0.3 + 0.4 * torch.rand(count, 2, generator=generator)
    sizes = 0.2 + 0.3 * torch.rand(count, 2, generator=generator)
    return {
        "class_labels": torch.randint(CLASSES, (count,), generator=generator),
        "boxes": torch.cat([centres, sizes], dim=1),
    }


def _filled(boxes: Tensor) -> Tensor:
    """The boxes as masks, (objects, height, width)."""
    low, high = (boxes[:, :2] - boxes[:, 2:] / 2) * SIZE, (boxes[:, :2] + boxes[:, 2:] / 2) * SIZE
    at = torch.arange(SIZE) + 0.5
    inside = (low[:, :, None] <= at) & (at <= high[:, :, None])  # (objects, x and y, size)
    return (inside[:, 1, :, None] & inside[:, 0, None, :]).float()


def boxes(objects: Sequence[int]) -> Batch:
    """Images and a list of label dicts with boxes."""
    labels = [_objects(image, count) for image, count in enumerate(objects)]
    return {"pixel_values": _images(len(objects)), "labels": labels}


def boxes_and_masks(objects: Sequence[int]) -> Batch:
    """Images and a list of label dicts with boxes and masks."""
    batch = boxes(objects)
    for label in batch["labels"]:
        label["masks"] = _filled(label["boxes"])
    return batch


def boxes_and_text(objects: Sequence[int]) -> Batch:
    """Images, each with a text that names the classes, and a list of label dicts with boxes."""
    start, stop, end = 101, 1012, 102  # [CLS], a full stop and [SEP] in BERT's vocabulary
    words = [token for label in range(CLASSES) for token in (200 + label, stop)]
    text = torch.tensor([[start, *words, end]]).repeat(len(objects), 1)
    return {**boxes(objects), "input_ids": text, "attention_mask": torch.ones_like(text)}


def masks(objects: Sequence[int]) -> Batch:
    """Images, and masks and classes as two lists."""
    batch = boxes_and_masks(objects)
    labels = batch.pop("labels")
    return {
        **batch,
        "mask_labels": [label["masks"] for label in labels],
        "class_labels": [label["class_labels"] for label in labels],
    }


def masks_and_task(objects: Sequence[int]) -> Batch:
    """Images with a task each, and masks and classes as two lists."""
    task = torch.randint(TEXT_VOCABULARY, (len(objects), TEXT_LENGTH), generator=_seeded(3))
    return {**masks(objects), "task_inputs": task}


def masks_and_task_and_text(objects: Sequence[int]) -> Batch:
    """Images with a task and texts each, and masks and classes as two lists."""
    texts = torch.randint(TEXT_VOCABULARY, (len(objects), QUERIES - TEXT_CONTEXT, TEXT_LENGTH), generator=_seeded(4))
    return {**masks_and_task(objects), "text_inputs": texts}


# ----------------------------------------------------------------------------------------------------------------------
# Small parts
# ----------------------------------------------------------------------------------------------------------------------

WIDTH = 64  # two channels for each of a group norm's 32 groups: with one, little but rounding is left of small feature maps
TEXT_VOCABULARY = 40
TEXT_LENGTH = 6
TEXT_CONTEXT = 2
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def _resnet(stages: Sequence[str] = ("stage4",)) -> Settings:
    return dict(
        model_type="resnet",
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=list(stages),
    )


def _rt_detr_resnet() -> Settings:
    return {**_resnet(STAGES[1:]), "model_type": "rt_detr_resnet", "hidden_sizes": [8, 8, 12, 16]}


def _hgnet() -> Settings:
    return dict(
        model_type="hgnet_v2",
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 8, 12],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 8, 12, 16],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 12, 16],
        depths=[1, 1, 1, 1],
        out_features=STAGES[1:],
    )


def _swin(stages: Sequence[str] = STAGES) -> Settings:
    return dict(
        model_type="swin",
        image_size=SIZE,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=list(stages),
    )


def _bert() -> Settings:
    return dict(
        model_type="bert",
        vocab_size=1100,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=WIDTH,
    )


NO_TIMM: Settings = dict(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None)

DETR: Settings = dict(
    NO_TIMM,
    backbone_config=_resnet(),
    num_labels=CLASSES,
    num_queries=QUERIES,
    d_model=WIDTH,
    encoder_layers=1,
    encoder_ffn_dim=WIDTH,
    encoder_attention_heads=2,
    decoder_layers=2,
    decoder_ffn_dim=WIDTH,
    decoder_attention_heads=2,
    auxiliary_loss=True,
)
DETR_MASKS: Settings = dict(DETR, backbone_config=_resnet(STAGES), encoder_attention_heads=8, decoder_attention_heads=8)
DEFORMABLE: Settings = dict(
    DETR, backbone_config=_resnet(STAGES[1:]), num_feature_levels=3, encoder_n_points=2, decoder_n_points=2
)
TWO_STAGE: Settings = dict(with_box_refine=True, two_stage=True, two_stage_num_proposals=QUERIES)
GROUNDED: Settings = dict(
    DEFORMABLE,
    backbone_config=_swin(STAGES[1:]),
    text_config=_bert(),
    max_text_len=16,
    bbox_loss_coefficient=50.0,  # or classes would drown boxes
)
RT_DETR: Settings = dict(
    NO_TIMM,
    backbone_config=_rt_detr_resnet(),
    num_labels=CLASSES,
    num_queries=QUERIES,
    d_model=WIDTH,
    encoder_hidden_dim=WIDTH,
    encoder_in_channels=[8, 12, 16],
    encoder_ffn_dim=WIDTH,
    encoder_attention_heads=2,
    hidden_expansion=0.5,
    decoder_in_channels=[WIDTH] * 3,
    decoder_layers=2,
    decoder_ffn_dim=WIDTH,
    decoder_attention_heads=2,
    decoder_n_points=2,
    num_denoising=0,
    auxiliary_loss=True,
)
D_FINE: Settings = dict(
    RT_DETR,
    backbone_config=_hgnet(),
    depth_mult=0.34,
    lqe_hidden_dim=8,
    weight_loss_fgl=15.0,  # or boxes would drown corners
    weight_loss_ddf=15.0,
)
DENOISING: Settings = dict(num_denoising=6)
SPARSE: Settings = dict(use_dense_one_to_one=False)
DENSE: Settings = dict(use_dense_one_to_one=True)
GROUPS: Settings = dict(
    num_labels=CLASSES,
    num_queries=6,
    group_detr=3,
    class_loss_coefficient=5,  # or masks would drown classes
    d_model=WIDTH,
    hidden_expansion=0.5,
    c2f_num_blocks=1,
    decoder_layers=2,
    decoder_ffn_dim=WIDTH,
    decoder_self_attention_heads=2,
    decoder_cross_attention_heads=2,
    decoder_n_points=2,
    auxiliary_loss=True,
)
LW_DETR: Settings = dict(
    GROUPS,
    projector_scale_factors=[2.0, 0.5],
    backbone_config=dict(
        model_type="lw_detr_vit",
        image_size=SIZE,
        pretrain_image_size=SIZE,
        patch_size=8,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        num_windows=4,
        window_block_indices=[0],
        out_indices=[1, 2],
    ),
)
RF_DETR: Settings = dict(
    GROUPS,
    mask_class_loss_coefficient=1,
    mask_dice_loss_coefficient=1,
    intermediate_size=WIDTH,
    backbone_config=dict(
        model_type="rf_detr_dinov2",
        image_size=SIZE,
        patch_size=8,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        num_windows=2,
        out_features=["stage1", "stage2"],
    ),
)
YOLOS: Settings = dict(
    num_labels=CLASSES,
    num_detection_tokens=QUERIES,
    image_size=[SIZE, SIZE],
    patch_size=16,
    hidden_size=WIDTH,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=WIDTH,
    use_mid_position_embeddings=False,
)
POINTS: Settings = dict(num_labels=CLASSES, num_queries=QUERIES, train_num_points=32)
MASKFORMER: Settings = dict(
    NO_TIMM,
    num_labels=CLASSES,
    backbone_config=_swin(),
    fpn_feature_size=WIDTH,
    mask_feature_size=WIDTH,
    use_auxiliary_loss=True,
    output_hidden_states=True,  # without which stock finds no auxiliary layers and fails
    decoder_config=dict(
        model_type="detr",
        **NO_TIMM,
        num_queries=QUERIES,
        d_model=WIDTH,
        encoder_layers=1,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=WIDTH,
        decoder_attention_heads=2,
    ),
)
MASK2FORMER: Settings = dict(
    POINTS,
    **NO_TIMM,
    backbone_config=_swin(),
    hidden_dim=WIDTH,
    feature_size=WIDTH,
    mask_feature_size=WIDTH,
    encoder_layers=1,
    encoder_feedforward_dim=WIDTH,
    decoder_layers=3,
    dim_feedforward=WIDTH,
    num_attention_heads=2,
)
ONEFORMER: Settings = dict(
    POINTS,
    **NO_TIMM,
    backbone_config=_swin(),
    hidden_dim=WIDTH,
    conv_dim=WIDTH,
    mask_dim=WIDTH,
    encoder_layers=1,
    encoder_feedforward_dim=WIDTH,
    decoder_layers=3,
    query_dec_layers=1,
    dim_feedforward=WIDTH,
    num_attention_heads=2,
    task_seq_len=TEXT_LENGTH,
)
TEXTS: Settings = dict(
    is_training=True,
    text_encoder_width=WIDTH,
    text_encoder_context_length=TEXT_LENGTH,
    text_encoder_num_layers=1,
    text_encoder_vocab_size=TEXT_VOCABULARY,
    text_encoder_n_ctx=TEXT_CONTEXT,
)
EOMT: Settings = dict(
    POINTS,
    image_size=SIZE,
    patch_size=16,
    hidden_size=WIDTH,
    num_hidden_layers=3,
    num_attention_heads=2,
    num_blocks=2,
    num_upscale_blocks=1,
    num_register_tokens=1,
)

# ----------------------------------------------------------------------------------------------------------------------
# The table
# ----------------------------------------------------------------------------------------------------------------------

ZOO = [
    Architecture("detr", "DetrForObjectDetection", DETR, boxes),
    Architecture("detr-masks", "DetrForSegmentation", DETR_MASKS, boxes_and_masks),
    Architecture("conditional-detr", "ConditionalDetrForObjectDetection", DETR, boxes),
    Architecture("conditional-detr-masks", "ConditionalDetrForSegmentation", DETR_MASKS, boxes_and_masks),
    Architecture("deformable-detr", "DeformableDetrForObjectDetection", DEFORMABLE, boxes),
    Architecture("deformable-detr-two-stage", "DeformableDetrForObjectDetection", DEFORMABLE | TWO_STAGE, boxes),
    Architecture("dab-detr", "DabDetrForObjectDetection", DETR | dict(hidden_size=WIDTH), boxes),
    Architecture("table-transformer", "TableTransformerForObjectDetection", DETR, boxes),
    Architecture("yolos", "YolosForObjectDetection", YOLOS, boxes),
    Architecture("rt-detr", "RTDetrForObjectDetection", RT_DETR, boxes),
    Architecture("rt-detr-denoising", "RTDetrForObjectDetection", RT_DETR | DENOISING, boxes),
    Architecture("rt-detr-v2", "RTDetrV2ForObjectDetection", RT_DETR, boxes),
    Architecture("rt-detr-v2-denoising", "RTDetrV2ForObjectDetection", RT_DETR | DENOISING, boxes),
    Architecture("d-fine", "DFineForObjectDetection", D_FINE, boxes, since=5),
    Architecture("d-fine-denoising", "DFineForObjectDetection", D_FINE | DENOISING, boxes),
    Architecture("deim-v2", "Deimv2ForObjectDetection", D_FINE | SPARSE, boxes),
    Architecture("deim-v2-denoising", "Deimv2ForObjectDetection", D_FINE | SPARSE | DENOISING, boxes),
    Architecture("deim-v2-dense", "Deimv2ForObjectDetection", D_FINE | DENSE, boxes),
    Architecture("deim-v2-dense-denoising", "Deimv2ForObjectDetection", D_FINE | DENSE | DENOISING, boxes),
    Architecture("lw-detr", "LwDetrForObjectDetection", LW_DETR, boxes),
    Architecture("rf-detr", "RfDetrForObjectDetection", RF_DETR, boxes),
    Architecture("rf-detr-masks", "RfDetrForInstanceSegmentation", RF_DETR, boxes_and_masks),
    Architecture("grounding-dino", "GroundingDinoForObjectDetection", GROUNDED, boxes_and_text),
    Architecture("mm-grounding-dino", "MMGroundingDinoForObjectDetection", GROUNDED, boxes_and_text),
    Architecture("maskformer", "MaskFormerForInstanceSegmentation", MASKFORMER, masks),
    Architecture("mask2former", "Mask2FormerForUniversalSegmentation", MASK2FORMER, masks),
    Architecture("oneformer", "OneFormerForUniversalSegmentation", ONEFORMER, masks_and_task, since=5),
    Architecture("oneformer-contrastive", "OneFormerForUniversalSegmentation", ONEFORMER | TEXTS, masks_and_task_and_text),
    Architecture("eomt", "EomtForUniversalSegmentation", EOMT, masks),
    Architecture("eomt-dinov3", "EomtDinov3ForUniversalSegmentation", EOMT | dict(intermediate_size=WIDTH), masks),
]

# Classes of transformers' tables of detection and segmentation models that compute no loss, and what becomes of labels.
NO_LOSS: dict[str, str] = {
    "DetaForObjectDetection": "deprecated, and gone in transformers 5; needs torchvision",
    "OmDetTurboForObjectDetection": "labels are an error",
    "OwlViTForObjectDetection": "labels are ignored",
    "Owlv2ForObjectDetection": "labels are ignored",
    "PPDocLayoutV2ForObjectDetection": "labels are an error",
    "PPDocLayoutV3ForObjectDetection": "labels are an error",
    "PPDocLayoutV4ForObjectDetection": "labels are an error",
    "PPOCRV5MobileDetForObjectDetection": "labels are ignored",
    "PPOCRV5ServerDetForObjectDetection": "labels are ignored",
    "PPOCRV6MediumDetForObjectDetection": "labels are ignored",
    "PPOCRV6SmallDetForObjectDetection": "labels are ignored",
    "VideomtForUniversalSegmentation": "has a criterion, but labels are an error",
}

# ----------------------------------------------------------------------------------------------------------------------
# Models
# ----------------------------------------------------------------------------------------------------------------------


def build(arch: Architecture, seed: int = 0) -> nn.Module:
    """A new model with random weights, in train mode, but with batch norms as in evaluation and without dropout."""
    model_class = getattr(transformers, arch.model)
    config = model_class.config_class(**copy.deepcopy(arch.settings))
    torch.manual_seed(seed)
    return still(lively(model_class(config)).train())


def lively(model: nn.Module) -> nn.Module:
    """Draws the weights of linear maps anew, large enough that queries, layers and images differ.

    As transformers initialises them, many boxes and scores do not depend on the image, and all layers match the same queries.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1)
    return model


def still(model: nn.Module) -> nn.Module:
    """Stops what makes images meet, or one call differ from the next: the statistics of batches, and dropout."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if isinstance(value, float) and "drop" in name:
                setattr(module, name, 0.0)
    return model


@cache
def stock_model(arch: Architecture) -> nn.Module:
    """The model of an architecture, built once."""
    return build(arch)

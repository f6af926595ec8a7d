"""The table of model classes is complete for the installed transformers, and what is not in it is an error that helps."""

from __future__ import annotations

import inspect
import re

import pytest
import transformers
from support.transformers_training import new
from support.transformers_zoo import ZOO, build
from torch import nn
from transformers.loss.loss_utils import LOSS_MAPPING
from transformers.models.auto import modeling_auto

from headweights import WeightError
from headweights.transformers.weighting.models import UNWEIGHTED, WEIGHTED, losses_of, targets_of

KNOWN = {*WEIGHTED, *UNWEIGHTED}
TASKS = (
    "OBJECT_DETECTION",
    "ZERO_SHOT_OBJECT_DETECTION",
    "IMAGE_SEGMENTATION",
    "INSTANCE_SEGMENTATION",
    "UNIVERSAL_SEGMENTATION",
)


@pytest.mark.parametrize("task", TASKS)
def test_every_class_of_a_task_is_in_the_table(task: str) -> None:
    listed = set(getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES").values())
    assert listed
    assert listed <= KNOWN


def test_every_class_that_is_named_after_a_task_is_in_the_table() -> None:
    """transformers chooses a loss by the name of the class."""
    named = re.compile(r"(?!Auto)\w+For(Object|Instance|Universal)?(Detection|Segmentation)")
    found = {name for name in dir(transformers) if named.fullmatch(name)}
    assert "DetrForSegmentation" in found and "YolosForObjectDetection" in found
    assert found <= KNOWN


def test_every_detection_loss_is_that_of_a_weighted_class() -> None:
    losses = {name for name, loss in LOSS_MAPPING.items() if re.search(r"(Detection|ForSegmentation)Loss$", loss.__name__)}
    assert len(losses) > 10
    assert not {loss for loss in losses if not any(loss in name for name in WEIGHTED)}


@pytest.mark.parametrize("name", [name for name in WEIGHTED if hasattr(transformers, name)])
def test_the_criterion_and_its_methods_exist(name: str) -> None:
    criterion = WEIGHTED[name].criterion_class()
    for method in WEIGHTED[name].methods:
        names = inspect.signature(getattr(criterion, method.name)).parameters
        assert "indices" in names
        assert "outputs" in names or set(method.predictions or ()) <= set(names)


@pytest.mark.parametrize(
    "name", [name for name, reason in UNWEIGHTED.items() if "no training loss" in reason and hasattr(transformers, name)]
)
def test_a_class_that_is_not_weighted_computes_no_loss(name: str) -> None:
    source = inspect.getsource(getattr(transformers, name).forward)
    assert not re.search(r"\bloss\w*\s*=(?!\s*(None|loss)\b)|loss_function|criterion", source)


@pytest.mark.parametrize("name", sorted({arch.model for arch in ZOO if arch.exists}))
def test_a_class_has_the_losses_of_its_row(name: str) -> None:
    arch = next(arch for arch in ZOO if arch.model == name)
    assert targets_of(build(arch)) == tuple(method.target for method in WEIGHTED[name].methods)


class Mine(transformers.YolosForObjectDetection):
    """A user's own class."""


def test_a_subclass_has_the_row_of_its_nearest_ancestor() -> None:
    assert losses_of(Mine(new().config)) is WEIGHTED["YolosForObjectDetection"]


def test_a_base_model_is_an_error_that_names_the_nearest_class() -> None:
    with pytest.raises(WeightError, match=r"^YolosModel is no detection.*Nearest: YolosForObjectDetection\. It weighs Detr"):
        losses_of(new().vit)


def test_another_model_is_an_error_that_lists_the_classes() -> None:
    with pytest.raises(WeightError, match=r"Linear is no detection .* knows\. It weighs DetrForObjectDetection, DetrForSegm"):
        losses_of(nn.Linear(1, 1))


def test_a_class_without_a_loss_is_an_error_with_its_reason() -> None:
    config = transformers.OwlViTConfig(
        text_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=10),
        vision_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=32),
        projection_dim=8,
    )
    with pytest.raises(WeightError, match="OwlViTForObjectDetection cannot be weighted: transformers computes no training loss"):
        losses_of(transformers.OwlViTForObjectDetection(config))


def test_half_of_what_shares_predictions_is_no_target() -> None:
    book = WEIGHTED["YolosForObjectDetection"].book
    assert book.weighted == {"loss_ce": (), "loss_bbox": ()}
    with pytest.raises(WeightError, match=r"'loss_giou'.*the same predictions as loss_bbox.*Valid here: 'loss_ce', 'loss_bbox'"):
        book.at("loss_giou")

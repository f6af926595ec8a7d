"""The seam: the innermost publisher has the images, the outermost is the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.models.detectors import BaseDetector, FasterRCNN
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from support.detectors import FASTER_RCNN, build, make_batch, model_config, weighted_config
from support.oracle import losses_of
from torch import nn

from headweights import WeightError
from headweights.mmdet import current_batch, publish_batch, publishes_batch

RPN, ROI = "rpn_head.loss_weight", "roi_head.loss_weight"


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build(weighted_config(model_config(FASTER_RCNN), "rpn_head", "roi_head.bbox_head"))


def samples(*fields: dict[str, Any]) -> list[DetDataSample]:
    return [DetDataSample(metainfo={"img_path": f"{index}.png", **given}) for index, given in enumerate(fields)]


def test_a_head_finds_its_own_weights(model: nn.Module) -> None:
    with publish_batch(model, samples({RPN: 0.3}, {}, {ROI: 2})):
        batch = current_batch(model.rpn_head, images=3)
        assert batch.weights(model.rpn_head, "loss_cls") == (0.3, 1, 1)
        assert batch.weights(model.roi_head.bbox_head, "loss_bbox") == (1, 1, 2)


def test_where_all_weights_are_one_there_is_nothing_to_do(model: nn.Module) -> None:
    with publish_batch(model, samples({RPN: 1}, {})):
        assert current_batch(model.rpn_head).weights(model.rpn_head, "loss_cls") is None


def test_the_innermost_batch_counts_and_the_outermost_model_names_the_paths(model: nn.Module) -> None:
    with publish_batch(model, samples({RPN: 0.3}, {RPN: 5})), publish_batch(model.roi_head, samples({ROI: 4})):
        batch = current_batch(model.roi_head.bbox_head, images=1)
        assert batch.weights(model.roi_head.bbox_head, "loss_cls") == (4,)
    with pytest.raises(WeightError, match="outside of its detector's loss"):
        current_batch(model.rpn_head)


def test_branches_are_checked_as_a_whole_and_published_one_by_one(model: nn.Module) -> None:
    branches = {"sup": samples({RPN: 2}), "unsup": samples({RPN: 3}, {})}
    with publish_batch(model, branches), publish_batch(model, branches["unsup"]):
        assert current_batch(model.rpn_head, images=2).weights(model.rpn_head, "loss_cls") == (3, 1)
    branches["unsup"][1].set_metainfo({"rpn_haed.loss_weight": 1})
    with pytest.raises(WeightError, match="rpn_haed"), publish_batch(model, branches):
        pass


@pytest.mark.parametrize("value", [-1, True, "0.5", float("nan"), float("inf"), None, torch.tensor(1.0)])
def test_a_value_that_a_users_own_transform_set_is_checked_with_the_first_batch(model: nn.Module, value: Any) -> None:
    data = make_batch(model, [{}, {ROI: value}])
    data["data_samples"][1].set_metainfo({"img_path": "second.png"})
    with pytest.raises(WeightError, match=r"roi_head\.loss_weight") as error:
        losses_of(model, data)
    assert "second.png" in str(error.value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    ("field", "nearest"),
    [("rpn_haed.loss_weight", RPN), ("rpn_head.loss_wieght", RPN), ("roi_head.bbox_head.loss_cl.loss_weight", "loss_cls")],
)
def test_a_misspelt_field_stops_the_first_batch(model: nn.Module, field: str, nearest: str) -> None:
    with pytest.raises(WeightError) as error:
        losses_of(model, make_batch(model, [{}, {field: 2.0}]))
    assert repr(field) in str(error.value)
    assert nearest in str(error.value)


def test_a_stock_model_refuses_weights_that_it_would_not_read() -> None:
    stock = build(model_config(FASTER_RCNN))
    losses_of(stock, make_batch(stock, [{"weather": "rain"}, {}]))
    with pytest.raises(WeightError, match="Shared2FCBBoxHeadWithWeightPerImage"):
        losses_of(stock, make_batch(stock, [{ROI: 2.0}, {}]))


def test_roi_heads_and_detectors_defined_later_publish_too() -> None:
    class LateRoIHead(StandardRoIHead):  # type: ignore[misc]
        def loss(self, x: Any, rpn_results_list: Any, batch_data_samples: Any) -> Any:
            """Trains on the first image only."""
            return super().loss([level[:1] for level in x], rpn_results_list[:1], batch_data_samples[:1])

    MODELS.register_module(module=LateRoIHead, force=True)
    config = weighted_config(model_config(FASTER_RCNN), "roi_head.bbox_head")
    config.roi_head.type = "LateRoIHead"
    model = build(config)
    plain = losses_of(model, make_batch(model))
    weighted = losses_of(model, make_batch(model, [{ROI: 4}, {ROI: 100}]))
    torch.testing.assert_close(weighted["loss_cls"], 4 * plain["loss_cls"])


class Strange(nn.Module):
    """A detector of another descent, which calls a weighted head on its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def loss(self, batch_inputs: Any, batch_data_samples: Any) -> Any:
        x = self.inner.extract_feat(batch_inputs)
        return self.inner.rpn_head.loss(x, batch_data_samples)


def test_a_class_of_another_descent_is_told_which_line_to_add(model: nn.Module) -> None:
    data = make_batch(model, [{"inner.rpn_head.loss_weight": 3}] * 2)
    with pytest.raises(WeightError, match=r"@headweights\.mmdet\.publishes_batch"):
        losses_of(Strange(model), data)
    plain = losses_of(publishes_batch(Strange)(model), make_batch(model))
    weighted = losses_of(Strange(model), data)
    torch.testing.assert_close(summed(weighted), 3 * summed(plain))


def summed(losses: dict[str, Any]) -> torch.Tensor:
    return torch.stack([part for value in losses.values() for part in value]).sum()


def test_a_batch_of_another_size_is_an_error_and_not_a_guess(model: nn.Module) -> None:
    data = make_batch(model)
    with (
        publish_batch(model, samples({})),
        pytest.raises(WeightError, match="sees 2 images, but the batch that was published has 1"),
    ):
        model.rpn_head.loss(model.extract_feat(data["inputs"]), data["data_samples"])


def test_publishing_is_idempotent_and_keeps_the_methods_name() -> None:
    before = FasterRCNN.loss
    publishes_batch(FasterRCNN)
    assert FasterRCNN.loss is before
    assert FasterRCNN.loss.__name__ == "loss"
    assert "loss" in BaseDetector.__abstractmethods__


def test_nothing_stays_published_after_an_error(model: nn.Module) -> None:
    with pytest.raises(RuntimeError, match="stop"), publish_batch(model, samples({})):
        raise RuntimeError("stop")
    with pytest.raises(WeightError, match="outside"):
        current_batch(model.rpn_head)

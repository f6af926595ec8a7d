"""How what was heard becomes weights: numbers of objects, places on a map, sampled rows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from support.detectors import FASTER_RCNN, build, make_batch, model_config, weighted_config
from support.oracle import losses_of
from torch import nn

from headweights import WeightError
from headweights.mmdet import current_batch, publish_batch
from headweights.mmdet.matching import Matched, as_map, positive_rows, query_rows, sampled_for, sampled_rows
from headweights.mmdet.model import reason_no_objects
from headweights.origins import OBJECT_WEIGHTS

TABLES = (torch.tensor([1.0, 20, 30]), torch.tensor([5.0, 60]))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build(weighted_config(model_config(FASTER_RCNN), "rpn_head", "roi_head.bbox_head"))


def sample(weights: list[float], **fields: float) -> DetDataSample:
    made = DetDataSample(metainfo={"img_path": "a.png", **fields})
    made.gt_instances = InstanceData(labels=torch.zeros(len(weights)))
    made.gt_instances[OBJECT_WEIGHTS] = torch.tensor(weights)
    return made


def results() -> list[SimpleNamespace]:
    """The first image has two positive samples and a negative one, the second one positive."""
    return [
        SimpleNamespace(
            pos_assigned_gt_inds=torch.tensor([1, 0]), pos_priors=[0, 0], neg_priors=[0], pos_inds=torch.tensor([2, 0])
        ),
        SimpleNamespace(pos_assigned_gt_inds=torch.tensor([0]), pos_priors=[0], neg_priors=[], pos_inds=torch.tensor([0])),
    ]


def test_a_table_begins_with_the_background_and_goes_on_with_the_objects(model: nn.Module) -> None:
    field = {"rpn_head.loss_weight": 0.5}
    with publish_batch(model, [sample([1.0, 4.0], **field), sample([])]):
        tables = current_batch(model.rpn_head).tables(model.rpn_head, "loss_cls")
    assert tables is not None
    assert [table.tolist() for table in tables] == [[0.5, 0.5, 2.0], [1.0]]


def test_without_weights_of_objects_there_are_no_tables(model: nn.Module) -> None:
    with publish_batch(model, [DetDataSample(metainfo={"rpn_head.loss_weight": 0.5})]):
        assert current_batch(model.rpn_head).tables(model.rpn_head, "loss_cls") is None


def test_rows_of_sampled_rois() -> None:
    assert sampled_rows(TABLES, results()).tolist() == [30, 20, 1, 60]
    assert positive_rows(TABLES, results()).tolist() == [30, 20, 60]
    assert query_rows(TABLES, results()).tolist() == [20, 1, 30, 60]


def test_priors_by_their_numbers_where_ignored_ones_are_background() -> None:
    matched = Matched(nn.Identity())
    matched.add("assigner", torch.tensor([0, 2, -1]))
    matched.add("assigner", torch.tensor([1, 0, 0]))
    assert matched.rows("assigner", TABLES, 3).tolist() == [[1, 30, 1], [60, 5, 5]]
    with pytest.raises(WeightError, match=r"4 priors in 2 images .* assigner, which matched"):
        matched.rows("assigner", TABLES, 4)


def test_priors_come_place_by_place_and_channels_anchor_by_anchor() -> None:
    rows = torch.arange(1 * 2 * 3 * 2).view(1, -1)  # a map of 2 x 3 places with two anchors each
    placed = as_map(rows, (1, 4, 2, 3))
    assert placed[0, :, 1, 2].tolist() == [10, 10, 11, 11]
    assert as_map(rows, (1, 12, 7)).shape == (1, 12, 1)


def test_a_stock_head_has_no_objects_of_its_own() -> None:
    assert reason_no_objects(nn.Identity()) == "it is a stock head and reads no weights"


def test_a_loss_that_is_called_past_its_sampling_results_is_an_error(model: nn.Module) -> None:
    with pytest.raises(WeightError, match=r"without sampling results, .* Call loss_and_target"):
        sampled_for(model.roi_head.bbox_head)


def test_a_weighted_class_is_left_as_it_was_found(model: nn.Module) -> None:
    """Listening ends with the loss, after an error too."""
    head = model.rpn_head
    before = dict(vars(head)), dict(vars(head.assigner))
    data = make_batch(model)
    for made in data["data_samples"]:
        made.gt_instances[OBJECT_WEIGHTS] = torch.ones(len(made.gt_instances))
    losses_of(model, data)
    assert (vars(head).keys(), vars(head.assigner).keys()) == (before[0].keys(), before[1].keys())
    with pytest.raises(TypeError), publish_batch(model, data["data_samples"]):
        head.get_targets(None, None, None, None)
    assert (vars(head).keys(), vars(head.assigner).keys()) == (before[0].keys(), before[1].keys())

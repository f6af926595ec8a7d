"""How matches become weights: numbers of objects, places on a map, sampled rows."""

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
from headweights.gating.layouts import Layout
from headweights.mmdet import current_batch, publish_batch
from headweights.mmdet.heads.weighted_head import reason_no_objects
from headweights.mmdet.matching.assigned import ByTargets, as_map
from headweights.mmdet.matching.listening import AssignedObjects
from headweights.mmdet.matching.samples import by_roi, by_sample, positive_rows, query_rows, sampled_for, sampled_rows
from headweights.provenance.origin import OBJECT_WEIGHTS

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
            pos_assigned_gt_inds=torch.tensor([1, 0]),
            priors=[0, 0, 0],
            pos_priors=[0, 0],
            neg_priors=[0],
            pos_inds=torch.tensor([2, 0]),
        ),
        SimpleNamespace(
            pos_assigned_gt_inds=torch.tensor([0]), priors=[0], pos_priors=[0], neg_priors=[], pos_inds=torch.tensor([0])
        ),
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


def test_layouts_of_rois_and_of_samples() -> None:
    weights = torch.tensor([2.0, 3.0])

    def gradient(layout: Layout, **arguments: object) -> list[float]:
        prediction = torch.zeros(3, requires_grad=True)
        layout(prediction, weights, arguments).sum().backward()
        assert prediction.grad is not None
        return prediction.grad.tolist()

    assert gradient(by_roi, rois=torch.tensor([[1.0, 0], [0, 0], [1, 0]])) == [3, 2, 3]
    assert gradient(by_sample("pos_priors"), sampling_results=results()) == [2, 2, 3]
    chosen = {"sampling_results": results(), "index": torch.tensor([2, 0, 3])}
    assert gradient(by_sample("priors", chosen="index"), **chosen) == [2, 2, 3]
    with pytest.raises(WeightError, match="sampled from 1 images, but the published batch has 2"):
        gradient(by_sample("priors"), sampling_results=results()[:1])


def test_ignored_priors_are_background() -> None:
    assigned = AssignedObjects(nn.Identity())
    assigned.add("assigner", torch.tensor([0, 2, -1]))
    assigned.add("assigner", torch.tensor([1, 0, 0]))
    assert [level.tolist() for level in assigned.rows("assigner", TABLES, [1, 2])] == [[[1], [60]], [[30, 1], [5, 5]]]
    with pytest.raises(WeightError, match=r"4 priors in each of 2 images, but its assigner matched \[3, 3\] priors"):
        assigned.rows("assigner", TABLES, [1, 3])


def test_a_way_of_matching_that_cannot_listen_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="listening"):
        type("Deaf", (ByTargets,), {})()


def test_priors_come_place_by_place_and_channels_anchor_by_anchor() -> None:
    rows = torch.arange(1 * 2 * 3 * 2).view(1, -1)  # a map of 2 x 3 places with two anchors each
    placed = as_map(rows, (1, 4, 2, 3))
    assert placed[0, :, 1, 2].tolist() == [10, 10, 11, 11]
    assert as_map(rows, (1, 12, 7)).shape == (1, 12, 1)


def test_a_stock_head_has_no_objects_of_its_own() -> None:
    assert reason_no_objects(nn.Identity()) == "it is a stock head and reads no weights"


def test_a_loss_that_is_called_without_sampling_results_is_an_error(model: nn.Module) -> None:
    with pytest.raises(WeightError, match=r"without sampling results, .* Call loss_and_target"):
        sampled_for(model.roi_head.bbox_head)


def test_listening_leaves_a_head_as_it_was(model: nn.Module) -> None:
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

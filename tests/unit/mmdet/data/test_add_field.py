"""AddFieldToImgMetas: what it sets, what it keeps, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from headweights import WeightError
from headweights.mmdet import AddFieldToImgMetas


def passed(step: AddFieldToImgMetas, **metainfo: Any) -> DetDataSample:
    sample = DetDataSample(metainfo=metainfo, gt_instances=InstanceData(bboxes=torch.zeros(1, 4)))
    result: DetDataSample = step({"inputs": torch.zeros(3, 8, 8), "data_samples": sample})["data_samples"]
    return result


def test_the_seeds_line_works_as_written() -> None:
    step = TRANSFORMS.build(dict(type="AddFieldToImgMetas", fields=["rpn_head.loss_weight"], values=[10.0], replace=True))
    assert passed(step).metainfo == {"rpn_head.loss_weight": 10.0}


def test_it_replaces_unless_told_not_to() -> None:
    field = "rpn_head.loss_weight"
    assert passed(AddFieldToImgMetas([field], [10.0]), **{field: 2.0}).get(field) == 10.0
    assert passed(AddFieldToImgMetas([field], [10.0], replace=False), **{field: 2.0}).get(field) == 2.0
    assert passed(AddFieldToImgMetas([field], [10.0], replace=False)).get(field) == 10.0


def test_it_adds_any_field() -> None:
    sample = passed(AddFieldToImgMetas(["camera", "roi_head.loss_weight"], [{"iso": 100}, 0]))
    assert sample.metainfo == {"camera": {"iso": 100}, "roi_head.loss_weight": 0}


def test_every_branch_of_a_multi_branch_sample_gets_them() -> None:
    step = AddFieldToImgMetas(["student.rpn_head.loss_weight"], [0.5])
    packed = step({"data_samples": {"sup": DetDataSample(), "unsup": DetDataSample()}})["data_samples"]
    assert [sample.metainfo for sample in packed.values()] == [{"student.rpn_head.loss_weight": 0.5}] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(fields=["a.loss_weight", "b.loss_weight"], values=[1.0]), ["2 fields", "1 values", "a.loss_weight"]),
        (dict(fields="rpn_head.loss_weight", values=[1.0]), ["fields", "rpn_head.loss_weight", "list"]),
        (dict(fields=["rpn_head.loss_weight"], values=1.0), ["values", "1.0", "list"]),
        (dict(fields=["a", "a"], values=[1, 2]), ["'a'", "twice"]),
        (dict(fields=[3], values=[1]), ["3", "no name"]),
        (dict(fields=["a"], values=[1], replace="no"), ["replace", "'no'"]),
        *(
            (dict(fields=["roi_head.loss_weight"], values=[value]), ["roi_head.loss_weight", repr(value)])
            for value in (-1, math.nan, math.inf, True, "0.3", None, [1.0])
        ),
    ],
)
def test_bad_arguments_are_refused_when_it_is_built(arguments: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(WeightError, match="AddFieldToImgMetas") as error:
        TRANSFORMS.build(dict(type="AddFieldToImgMetas", **arguments))
    for words in said:
        assert words in str(error.value)


def test_before_pack_det_inputs_it_says_where_it_belongs() -> None:
    with pytest.raises(WeightError, match="put this step after it") as error:
        AddFieldToImgMetas(["rpn_head.loss_weight"], [1.0])({"img": None})
    assert "rpn_head.loss_weight" in str(error.value)
    assert "PackDetInputs" in str(error.value)


def test_it_does_not_overwrite_data() -> None:
    with pytest.raises(WeightError, match="'gt_instances' is data"):
        passed(AddFieldToImgMetas(["gt_instances"], [1.0]))

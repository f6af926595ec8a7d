"""The check before training: a weight that no head would read stops the run before its first iteration."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmdet.registry import DATASETS
from mmengine.runner import Runner
from support.coco import add_fields, pipeline, runner_config, write_dataset
from support.detectors import FASTER_RCNN, MASK_RCNN, build, model_config, weighted_config

from headweights import WeightError
from headweights.mmdet import CheckWeightsHook

BOTH = ("rpn_head", "roi_head.bbox_head")


def check(model: Any, dataset: dict[str, Any]) -> None:
    """Checks a model and a data set as before training."""
    loader = SimpleNamespace(dataset=DATASETS.build(dataset))
    CheckWeightsHook().before_train(SimpleNamespace(model=model, train_dataloader=loader, val_loop=None))  # type: ignore[arg-type]


def train(tmp_path: Path, weighted: tuple[str, ...], *steps: dict[str, Any]) -> None:
    """Trains on a data set without weights and a second one whose pipeline ends with these steps."""
    first = dict(write_dataset(tmp_path, "real"), pipeline=pipeline())
    second = dict(write_dataset(tmp_path, "rendered"), pipeline=pipeline(*steps))
    runner = Runner.from_cfg(runner_config(tmp_path / "run", [first, second], *weighted))
    try:
        runner.train()
        assert sum(isinstance(hook, CheckWeightsHook) for hook in runner.hooks) == 1
    except WeightError:
        assert runner.iter == 0
        raise


@pytest.mark.parametrize(
    ("weighted", "field", "said"),
    [
        (BOTH, "rpn_haed.loss_weight", ["rpn_head.loss_weight"]),
        (BOTH, "rpn_head.loss_wieght", ["rpn_head.loss_weight"]),
        (BOTH, "rpn_head.weights", ["rpn_head.loss_weight"]),
        (("rpn_head",), "roi_head.loss_weight", ["Shared2FCBBoxHeadWithWeightPerImage", "roi_head.bbox_head"]),
        ((), "rpn_head.loss_weight", ["RPNHeadWithWeightPerImage"]),
    ],
)
def test_a_field_that_no_head_reads_stops_the_run(tmp_path: Path, weighted: tuple[str, ...], field: str, said: list[str]) -> None:
    with pytest.raises(WeightError) as error:
        train(tmp_path, weighted, dict(type="AddFieldToImgMetas", fields=[field], values=[1.0]))
    for words in ["AddFieldToImgMetas", "'rendered'", repr(field), *said]:
        assert words in str(error.value)


def test_a_step_before_pack_det_inputs_stops_the_run(tmp_path: Path) -> None:
    steps = pipeline()
    dataset = dict(write_dataset(tmp_path, "real"), pipeline=[*steps[:-1], add_fields(rpn_head=1.0), steps[-1]])
    runner = Runner.from_cfg(runner_config(tmp_path / "run", [dataset], *BOTH))
    with pytest.raises(WeightError, match="put this step after it"):
        runner.train()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_users_own_transform_that_sets_nonsense_stops_the_first_batch(tmp_path: Path, workers: int) -> None:
    from mmcv.transforms import BaseTransform
    from mmdet.registry import TRANSFORMS

    @TRANSFORMS.register_module(force=True)
    class Nonsense(BaseTransform):  # type: ignore[misc]
        def transform(self, results: dict[str, Any]) -> dict[str, Any]:
            results["data_samples"].set_metainfo({"rpn_head.loss_weight": -2.0})
            return results

    dataset = dict(write_dataset(tmp_path, "real"), pipeline=pipeline(dict(type="Nonsense")))
    config = runner_config(tmp_path / "run", [dataset], *BOTH)
    config.train_dataloader.num_workers = workers
    runner = Runner.from_cfg(config)
    with pytest.raises(WeightError, match=r"rpn_head\.loss_weight.*-2\.0.*not negative"):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize("value", [-1, "much", True, float("nan")])
def test_a_bad_value_stops_the_building_of_the_data_set(tmp_path: Path, value: Any) -> None:
    with pytest.raises(WeightError, match=r"AddFieldToImgMetas: field 'rpn_head\.loss_weight'"):
        train(tmp_path, BOTH, add_fields(rpn_head=value))


def test_steps_are_found_however_a_data_set_is_wrapped(tmp_path: Path) -> None:
    bad = dict(type="AddFieldToImgMetas", fields=["rpn_haed.loss_weight"], values=[1.0])
    plain = dict(write_dataset(tmp_path, "real"), pipeline=pipeline(bad))
    choice = dict(plain, pipeline=pipeline(dict(type="RandomChoice", transforms=[[bad], [add_fields(rpn_head=1.0)]])))
    wrapped = [
        dict(type="RepeatDataset", times=3, dataset=plain),
        dict(type="ClassBalancedDataset", oversample_thr=0.1, dataset=plain),
        dict(
            type="ConcatDataset", datasets=[dict(type="RepeatDataset", times=2, dataset=plain), dict(plain, pipeline=pipeline())]
        ),
        dict(type="MultiImageMixDataset", dataset=dict(plain, pipeline=[]), pipeline=pipeline(bad)[3:]),
        choice,
    ]
    model = build(weighted_config(model_config(FASTER_RCNN), *BOTH))
    for dataset in wrapped:
        with pytest.raises(WeightError, match="rpn_haed"):
            check(model, dataset)


def test_a_partial_cover_is_no_error(tmp_path: Path) -> None:
    model = build(weighted_config(model_config(MASK_RCNN), "roi_head.bbox_head"))
    check(model, dict(write_dataset(tmp_path, "real"), pipeline=pipeline(add_fields(roi_head=0.3))))

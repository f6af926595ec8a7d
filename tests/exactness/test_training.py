"""The property holds where training is more than one backward pass: DDP, AMP, accumulation, checkpoints, resume, workers."""

from __future__ import annotations

import copy
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from counting import Counted
from mmdet.registry import TRANSFORMS
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner, set_random_seed
from support.coco import add_fields, pipeline, runner_config, write_dataset
from support.detectors import FASTER_RCNN, RETINANET, make_batch, pair
from support.oracle import assert_scaled, losses_of, parameter_gradients, pixel_gradients, summed
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

pytestmark = pytest.mark.slow

RPN, ROI = "rpn_head.loss_weight", "roi_head.loss_weight"
HEADS = ("rpn_head", "roi_head.bbox_head")
PARTS = {"rpn": lambda name: "rpn" in name, "roi": lambda name: "rpn" not in name}


@pytest.fixture(scope="module")
def models() -> tuple[nn.Module, nn.Module]:
    return pair(FASTER_RCNN, *HEADS)


# --- distributed ---


def ddp_rank(rank: int, weights: list[dict[str, float]], folder: str) -> None:
    """One process: its own image, its own weights; leaves the gradients that DDP averaged."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(weights))
    _, weighted = pair(FASTER_RCNN, *HEADS)
    wrapped = MMDistributedDataParallel(weighted)
    data = make_batch(weighted, [weights[rank]], images=1, size=96 + 32 * rank)
    torch.manual_seed(rank)
    summed(wrapped(**data, mode="loss")).backward()
    torch.save({name: p.grad for name, p in weighted.named_parameters() if p.grad is not None}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_ddp_averages_the_weighted_gradients_of_two_processes(tmp_path: Path, models: tuple[nn.Module, nn.Module]) -> None:
    weights = [{RPN: 0.3, ROI: 5.0}, {RPN: 2.0, ROI: 0.0}]
    mp.start_processes(ddp_rank, args=(weights, str(tmp_path)), nprocs=2, start_method="fork")
    stock, _ = models
    expected: Counter[str] = Counter()
    for rank, given in enumerate(weights):
        losses = losses_of(stock, make_batch(stock, images=1, size=96 + 32 * rank), seed=rank)
        loss = given[RPN] * summed(losses, PARTS["rpn"]) + given[ROI] * summed(losses, PARTS["roi"])
        for name, gradient in parameter_gradients(stock, loss).items():
            expected[name] = expected[name] + gradient / 2  # type: ignore[assignment]
    for rank in range(2):
        actual = torch.load(f"{tmp_path}/{rank}.pt")
        assert actual.keys() == expected.keys()
        for name, gradient in actual.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


# --- precision and accumulation ---


def float_where_mmcv_needs_it(model: nn.Module) -> None:
    """On the CPU mmcv's NMS and RoIAlign take float32 only: what goes into them leaves bfloat16, for stock as for weighted."""
    as_float = partial(tree_map_only, Tensor, Tensor.float)
    model.rpn_head.register_forward_hook(lambda module, args, output: as_float(output))
    model.roi_head.bbox_roi_extractor.register_forward_pre_hook(lambda module, args: as_float(args))


def test_bfloat16_autocast(models: tuple[nn.Module, nn.Module]) -> None:
    stock, weighted = (copy.deepcopy(model) for model in models)
    for model in (stock, weighted):
        float_where_mmcv_needs_it(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert weighted.roi_head.bbox_head(torch.zeros(1, 32, 7, 7))[0].dtype == torch.bfloat16
        expected = pixel_gradients(stock, make_batch(stock), PARTS)
        # Powers of two pass through bfloat16 without rounding, so even there the property is exact.
        powers = pixel_gradients(weighted, make_batch(weighted, [{RPN: 0.5, ROI: 4}, {RPN: 8, ROI: 0}]), PARTS)
        others = pixel_gradients(weighted, make_batch(weighted, [{RPN: 0.3, ROI: 5}, {RPN: 5, ROI: 0.3}]), PARTS)
        ones = pixel_gradients(weighted, make_batch(weighted, [{RPN: 1, ROI: 1}, {}]), PARTS)
    for part, weights in {"rpn": (0.5, 8), "roi": (4, 0)}.items():
        assert_scaled(powers[part], expected[part], weights, 1e-5)
    for part, weights in {"rpn": (0.3, 5), "roi": (5, 0.3)}.items():
        assert_scaled(others[part], expected[part], weights, 0.03)
    for part in PARTS:
        assert torch.equal(ones[part], expected[part])


def test_bfloat16_autocast_of_a_one_stage_detector() -> None:
    stock, weighted = pair(RETINANET, "bbox_head")
    everything = {"head": lambda name: True}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = pixel_gradients(stock, make_batch(stock), everything)["head"]
        fields = [{"bbox_head.loss_weight": 0.25}, {"bbox_head.loss_weight": 2}]
        actual = pixel_gradients(weighted, make_batch(weighted, fields), everything)["head"]
    assert_scaled(actual, expected, (0.25, 2), 1e-5)


def test_gradient_accumulation(models: tuple[nn.Module, nn.Module]) -> None:
    stock, weighted = models
    micro_batches = [[{RPN: 0.3, ROI: 2}, {RPN: 0.3, ROI: 2}], [{RPN: 5, ROI: 0}, {RPN: 5, ROI: 0}]]
    optimizer = OptimWrapper(torch.optim.SGD(weighted.parameters(), lr=0.0), accumulative_counts=2)
    expected: dict[str, Tensor] = {}
    weighted.zero_grad()
    for fields in micro_batches:
        losses = losses_of(stock, make_batch(stock))
        loss = fields[0][RPN] * summed(losses, PARTS["rpn"]) + fields[0][ROI] * summed(losses, PARTS["roi"])
        for name, gradient in parameter_gradients(stock, loss).items():
            expected[name] = expected.get(name, 0) + gradient / 2
        optimizer.backward(optimizer.scale_loss(summed(losses_of(weighted, make_batch(weighted, fields)))))
    for name, parameter in weighted.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)
    weighted.zero_grad()


# --- checkpoints and inference ---


def test_checkpoints_load_both_ways_and_predict_the_same(models: tuple[nn.Module, nn.Module]) -> None:
    stock, weighted = (copy.deepcopy(model).eval() for model in models)
    for model in (stock, weighted):
        model.roi_head.test_cfg.score_thr = 0.0
    assert list(stock.state_dict()) == list(weighted.state_dict())
    for source, target in ((stock, weighted), (weighted, stock)):
        with torch.no_grad():
            for parameter in source.parameters():
                parameter.mul_(1.01)
        target.load_state_dict(source.state_dict(), strict=True)
        with torch.no_grad():
            one, other = (model.predict(**batch_for_predict(model)) for model in (source, target))
        for first, second in zip(one, other):
            assert len(first.pred_instances) > 0
            assert torch.equal(first.pred_instances.bboxes, second.pred_instances.bboxes)
            assert torch.equal(first.pred_instances.scores, second.pred_instances.scores)


def batch_for_predict(model: nn.Module) -> dict[str, Any]:
    data = make_batch(model, [{RPN: 0.3}, {ROI: 5}])
    return {"batch_inputs": data["inputs"], "batch_data_samples": data["data_samples"]}


# --- synchronisation ---


def test_a_training_step_waits_for_the_device_no_more_often_than_stock(models: tuple[nn.Module, nn.Module]) -> None:
    counts = []
    for model, fields in ((models[0], [{}, {}]), (models[1], [{RPN: 0.3, ROI: 5}, {RPN: 0, ROI: 2}])):
        data = make_batch(model, fields)
        with Counted() as counted:
            summed(losses_of(model, data)).backward()
        model.zero_grad()
        counts.append(counted.waits)
    assert counts[0]["_local_scalar_dense"] > 0, "stock waits too: the count sees something"
    assert counts[1] == counts[0]


# --- through mmengine's Runner ---


@HOOKS.register_module(force=True)
class SeedEveryIteration(Hook):  # type: ignore[misc]
    """The same random numbers in an iteration whether the run was interrupted or not (mmengine does not store them)."""

    def before_train_epoch(self, runner: Runner) -> None:
        set_random_seed(runner.iter)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        set_random_seed(runner.iter)


@TRANSFORMS.register_module(force=True)
class WeightByImage:
    """A user's own transform: the weight of an image depends on the image."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        sample = results["data_samples"]
        sample.set_metainfo({ROI: 0.5 + sample.img_id})
        return results


def losses_in(work_dir: Path) -> list[float]:
    (log,) = [path for path in work_dir.glob("*/vis_data/scalars.json") if path.stat().st_size]
    return [json.loads(line)["loss"] for line in log.read_text().splitlines()]


def test_a_resumed_run_goes_on_with_the_same_losses(tmp_path: Path) -> None:
    def config(name: str, epochs: int, **weights: float) -> Any:
        steps = [add_fields(**weights)] if weights else []
        datasets = [
            dict(write_dataset(tmp_path, "real"), pipeline=pipeline()),
            dict(write_dataset(tmp_path, "rendered", seed=1), pipeline=pipeline(*steps)),
        ]
        hooks = [dict(type="SeedEveryIteration")]
        return runner_config(tmp_path / name, datasets, *HEADS, epochs=epochs, custom_hooks=hooks)

    Runner.from_cfg(config("whole", 2, rpn_head=0.3, roi_head=5)).train()
    Runner.from_cfg(config("unweighted", 2)).train()
    Runner.from_cfg(config("first", 1, rpn_head=0.3, roi_head=5)).train()
    second = config("second", 2, rpn_head=0.3, roi_head=5)
    second.update(resume=True, load_from=str(tmp_path / "first" / "epoch_1.pth"))
    Runner.from_cfg(second).train()
    whole, resumed = losses_in(tmp_path / "whole"), losses_in(tmp_path / "first") + losses_in(tmp_path / "second")
    assert len(whole) == 8
    assert resumed == whole
    assert losses_in(tmp_path / "unweighted") != whole


@pytest.mark.parametrize("workers", [0, 2])
def test_every_image_arrives_with_the_weights_of_its_data_set(tmp_path: Path, workers: int) -> None:
    real, rendered, plain, own = (write_dataset(tmp_path, name, images=3) for name in ("real", "rendered", "plain", "own"))
    datasets = [
        dict(real, pipeline=pipeline(add_fields(rpn_head=0.3))),
        dict(type="RepeatDataset", times=2, dataset=dict(rendered, pipeline=pipeline(add_fields(rpn_head=5, roi_head=0)))),
        dict(plain, pipeline=pipeline()),
        dict(own, pipeline=pipeline(dict(type="WeightByImage"))),
    ]
    config = runner_config(tmp_path / "run", datasets, *HEADS)
    config.train_dataloader.num_workers = workers
    runner = Runner.from_cfg(config)
    seen: Counter[Any] = Counter()
    for data in runner.build_dataloader(config.train_dataloader, seed=0):
        samples = runner.model.data_preprocessor(data, True)["data_samples"]
        seen.update((Path(s.img_path).parent.name, s.get(RPN), s.get(ROI)) for s in samples)
    expected = {("real", 0.3, None): 3, ("rendered", 5, 0): 6, ("plain", None, None): 3}
    assert seen == Counter({**expected, **{("own", None, 0.5 + image): 1 for image in range(3)}})
    runner.train()
    assert len(losses_in(tmp_path / "run")) == 8


def test_a_model_without_the_other_head_weighted_trains_as_the_seed_shows(tmp_path: Path) -> None:
    """The seed's example: only the RPN head replaced, weight 10 for every image: ten times the RPN's losses in the log."""
    logged = {}
    for name, heads, steps in (("stock", (), []), ("weighted", ("rpn_head",), [add_fields(rpn_head=10.0)])):
        datasets = [dict(write_dataset(tmp_path, "real"), pipeline=pipeline(*steps))]
        config = runner_config(tmp_path / name, datasets, *heads, custom_hooks=[dict(type="SeedEveryIteration")])
        config.optim_wrapper.optimizer.lr = 0.0
        Runner.from_cfg(config).train()
        (log,) = (tmp_path / name).glob("*/vis_data/scalars.json")
        logged[name] = [json.loads(line) for line in log.read_text().splitlines()]
    for stock, weighted in zip(logged["stock"], logged["weighted"]):
        for key in ("loss_rpn_cls", "loss_rpn_bbox"):
            assert weighted[key] == pytest.approx(10 * stock[key], rel=1e-4)
        assert weighted["loss_cls"] == pytest.approx(stock["loss_cls"], rel=1e-4)

"""What is measured while training is what stock models and explicit backward passes say, and measuring changes nothing."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS, OPTIM_WRAPPERS
from mmengine.runner import Runner
from support.coco import pipeline, runner_config, write_dataset
from support.detectors import FASTER_RCNN, MASK_RCNN, RETINANET, build, make_batch, model_config
from support.oracle import summed
from support.zoo import ZOO, build_zoo, zoo_batch, zoo_config
from torch import Tensor, nn

from headweights.batch.in_force import InForce, put_in_force
from headweights.contributions.measure import added_up, measured
from headweights.contributions.replay import raw_losses
from headweights.mmdet.heads.model_heads import heads_of
from headweights.mmdet.heads.publishing import batch_of
from headweights.mmdet.hooks.captured_step import CapturedStep, capturing, heads_of_losses
from headweights.mmdet.hooks.contributions import ContributionHook, images_of
from headweights.mmdet.weighting.subclass import weigh_every_head
from headweights.provenance.origin import ORIGINS, Origin, Part

pytestmark = pytest.mark.slow

FCOS = "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py"
DINO = "dino/dino-4scale_r50_8xb2-12e_coco.py"
CASCADE = "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py"
OF = {"real": [0, 2], "rendered": [1, 3]}


def seed(number: int) -> None:
    torch.manual_seed(number)
    np.random.seed(number)


def captured(model: Any, data: Any, number: int = 0) -> CapturedStep:
    """Captures one loss computation."""
    steps: list[CapturedStep] = []
    with capturing(model, steps.append):
        seed(number)
        model(data["inputs"], data["data_samples"], mode="loss")
        assert "loss" not in vars(model) and "extract_feat" not in vars(model)
    return steps[0]


def entries(step: CapturedStep) -> dict[str, float]:
    """Measures a step, gradients included, and returns the log entries."""
    batch, terms = batch_of(step.model, step.samples), heads_of(step.model).book.terms
    sums = measured(step, batch, terms, heads_of_losses(step), images_of(step.samples, list(OF)), with_gradients=True)
    return {entry.name: value for entry, value in added_up(sums, step.device).entries().items()}


def weighted_step(name: str, **weights: dict[str, float]) -> tuple[nn.Module, nn.Module, Any, CapturedStep]:
    """A stock model, a weighted one with these weights in force, a batch of four images of two data sets, the step."""
    config = zoo_config(next(arch for arch in ZOO if arch.config == DINO)) if name == DINO else model_config(name)
    stock, weighted = build(copy.deepcopy(config)), build(config)
    weighted.load_state_dict(stock.state_dict())
    weigh_every_head(weighted)
    book = heads_of(weighted).book
    put_in_force(weighted, InForce({name: {book.at(t): w for t, w in weights.get(name, {}).items()} for name in OF}))
    data = make_batch(weighted, images=4)
    for dataset, numbers in OF.items():
        for number in numbers:
            data["data_samples"][number].set_metainfo({ORIGINS: (Part(Origin(dataset)),)})
    return stock, weighted, data, captured(weighted, data)


def alone(model: Any, data: Any, images: Sequence[int]) -> dict[str, Tensor]:
    """The losses of a stock model that sees some of the images only, as it logs them."""
    seed(7)
    losses = model.loss(data["inputs"][list(images)], [data["data_samples"][image] for image in images])
    return {
        name: torch.stack([part.mean() for part in (value if isinstance(value, list) else [value])]).sum()
        for name, value in losses.items()
        if "loss" in name
    }


@pytest.mark.parametrize("name", [FASTER_RCNN, RETINANET, FCOS, DINO, MASK_RCNN, CASCADE])
def test_raw_losses_are_those_of_a_stock_model_on_the_data_sets_images_alone(name: str) -> None:
    stock, _, data, step = weighted_step(name, rendered={"": 0.1}, real={"": 3.0})
    for images in OF.values():
        expected = alone(stock, data, images)
        seed(7)
        actual = raw_losses(step, images)
        assert actual.keys() == expected.keys()
        assert any(value > 0 for value in actual.values())
        for loss, value in actual.items():
            torch.testing.assert_close(value, expected[loss], rtol=1e-4, atol=1e-6, msg=loss)


def test_every_loss_is_its_heads() -> None:
    _, _, _, step = weighted_step(CASCADE)
    expected = {f"loss_rpn_{loss}": ("rpn_head", f"loss_{loss}") for loss in ("cls", "bbox")}
    for stage in range(3):
        for loss, head in (("loss_cls", "bbox_head"), ("loss_bbox", "bbox_head"), ("loss_mask", "mask_head")):
            expected[f"s{stage}.{loss}"] = f"roi_head.{head}.{stage}", loss
    assert heads_of_losses(step) == expected


@pytest.mark.parametrize("name", [FASTER_RCNN, FCOS])
def test_gradient_shares_are_those_of_explicit_backward_passes(name: str) -> None:
    target = "rpn_head" if name == FASTER_RCNN else "bbox_head"
    given = {"real": {target: 3.0}, "rendered": {target: 0.2}}
    stock, _, data, step = weighted_step(name, **given)
    scalars = entries(step)
    features: list[Tensor] = []
    extract = stock.extract_feat

    def extracting(inputs: Tensor) -> Any:
        features[:] = [level.detach().requires_grad_(True) for level in extract(inputs)]
        return tuple(features)

    stock.extract_feat = extracting  # type: ignore[assignment]
    seed(0)
    losses = stock.loss(data["inputs"], data["data_samples"])
    of_losses = heads_of_losses(step)
    of_head = {loss: value for loss, value in losses.items() if loss in of_losses and of_losses[loss][0] == target}
    gradients = torch.autograd.grad(summed(of_head), features)
    norms = {
        dataset: given[dataset][target] * float(sum(level[images].square().sum() for level in gradients)) ** 0.5
        for dataset, images in OF.items()
    }
    for dataset, norm in norms.items():
        # RPN's sampler drew from another random state than the oracle's: only what is not sampled is equal to the last bit.
        tolerance = 0.05 if name == FASTER_RCNN else 1e-4
        assert scalars[f"gradient_share/{target}/{dataset}"] == pytest.approx(norm / sum(norms.values()), abs=tolerance)


def test_cosines_are_those_of_explicit_backward_passes() -> None:
    stock, _, data, step = weighted_step(FCOS, rendered={"": 0.0})
    scalars = entries(step)
    parameters = list(stock.bbox_head.parameters())
    vectors = []
    for images in OF.values():
        found = torch.autograd.grad(sum(alone(stock, data, images).values()), parameters, allow_unused=True)
        vectors.append(torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(parameters, found)]))
    expected = torch.nn.functional.cosine_similarity(*vectors, dim=0)
    # A data set that weighs nothing has a cosine all the same: it says whether it would help.
    assert scalars["gradient_cosine/bbox_head/real vs rendered"] == pytest.approx(float(expected), rel=1e-3)
    assert scalars["gradient_share/bbox_head/rendered"] == 0


def test_shares_sum_to_one_and_weights_are_those_in_force() -> None:
    _, _, _, step = weighted_step(FASTER_RCNN, real={"rpn_head": 2.0}, rendered={"roi_head": 0.5, "rpn_head.loss_bbox": 0.25})
    scalars = entries(step)
    for quantity in ("loss_share", "gradient_share"):
        totals: dict[str, float] = {}
        for name, value in scalars.items():
            if name.startswith(quantity):
                totals[name.split("/")[1]] = totals.get(name.split("/")[1], 0) + value
        assert totals and all(total == pytest.approx(1) for total in totals.values())
    assert scalars["weight/rpn_head.loss_cls/real"] == 2
    assert scalars["weight/rpn_head.loss_bbox/rendered"] == 0.25
    assert scalars["weight/rpn_head.loss_cls/rendered"] == 1
    assert scalars["weight/roi_head.bbox_head.loss_cls/rendered"] == 0.5
    raw, weighted = (scalars[f"{quantity}/rpn_head.loss_rpn_bbox/rendered"] for quantity in ("raw_loss", "weighted_loss"))
    assert weighted == pytest.approx(0.25 * raw)


class Unmeasured(nn.Module):
    """A model without features of its own, as trackers are."""

    def loss(self, inputs: Any, data_samples: Any) -> dict[str, Tensor]:
        raise NotImplementedError


def semi_supervised() -> tuple[nn.Module, Any]:
    """SoftTeacher has an ``extract_feat``, which its loss does not call."""
    arch = next(arch for arch in ZOO if arch.name == "soft-teacher")
    model = build_zoo(arch)
    return model, zoo_batch(arch, model)


@pytest.mark.parametrize("model", ["tracker", "semi-supervised"])
def test_the_log_says_that_a_model_cannot_be_measured(model: str) -> None:
    detector, data = semi_supervised() if model == "semi-supervised" else (Unmeasured(), None)
    said: list[str] = []
    runner: Any = SimpleNamespace(model=detector, hooks=[], iter=0, optim_wrapper=None, logger=SimpleNamespace(info=said.append))
    hook = ContributionHook(names=lambda: ["real"], interval=1)
    hook.before_train(runner)
    for _ in range(2):
        hook.before_train_iter(runner, 0)
        if data is not None:
            detector.loss(data["inputs"], data["data_samples"])  # type: ignore[operator]
        hook.after_train_iter(runner, 0)
    (line,) = said
    assert f"{type(detector).__name__} computes its features inside other models" in line
    assert not {"loss", "extract_feat"} & vars(detector).keys()


@pytest.mark.parametrize(("target", "warnings"), [(None, 1), ("rendered", 1), ("a third", 0)])
def test_a_warning_names_both_data_sets_and_needs_several_measurements(target: str | None, warnings: int) -> None:
    said: list[str] = []
    hook = ContributionHook(names=lambda: [], target=target)
    hook.cosines["bbox_head", "real vs drawn", "rendered"] = [1.0, 1.0, -0.5, -0.5, -0.5]
    hook.cosines["bbox_head", "too few", "rendered"] = [-1.0, -1.0, -1.0]
    hook.after_train(SimpleNamespace(logger=SimpleNamespace(warning=said.append)))
    assert len(said) == warnings
    assert all("In bbox_head, real vs drawn's gradient opposes rendered's (mean cosine -0.50)" in line for line in said)


# --- in training ---


def hook(interval: int) -> dict[str, Any]:
    return dict(type="LossWeightHook", weights=dict(real=2.0, rendered=0.25), interval=interval, target="real")


def config(folder: Path, work_dir: str, interval: int, model: str = FASTER_RCNN, **more: Any) -> Any:
    datasets = [dict(write_dataset(folder, name, seed=i), pipeline=pipeline()) for i, name in enumerate(("real", "rendered"))]
    made = runner_config(folder / work_dir, datasets, model=model, custom_hooks=[hook(interval)], epochs=2, **more)
    made.log_level = "INFO"
    return made


def log_of(work_dir: Path) -> list[dict[str, Any]]:
    (log,) = work_dir.glob("*/vis_data/scalars.json")
    return [json.loads(line) for line in log.read_text().splitlines()]


# RTMDet's head has running statistics.
@pytest.mark.parametrize("model", [FASTER_RCNN, "rtmdet/rtmdet_tiny_8xb32-300e_coco.py"])
def test_measuring_changes_nothing(tmp_path: Path, model: str) -> None:
    states = []
    for interval in (0, 1):
        made = config(tmp_path, f"every_{interval}", interval)
        if model != FASTER_RCNN:
            made.model = zoo_config(next(arch for arch in ZOO if arch.config == model))
        runner = Runner.from_cfg(made)
        runner.train()
        states.append(runner.model.state_dict())
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    without, with_measurements = (
        [{k: v for k, v in line.items() if "loss" in k and "/" not in k} for line in log_of(tmp_path / f"every_{i}")]
        for i in (0, 1)
    )
    assert without == [line for line in with_measurements if line]


def test_the_log_has_the_entries_and_a_line_a_data_set_and_head(tmp_path: Path) -> None:
    runner = Runner.from_cfg(config(tmp_path, "run", 2))
    runner.train()
    ours = [line for line in log_of(tmp_path / "run") if any(name.startswith("raw_loss/") for name in line)]
    assert [line["step"] for line in ours] == [2, 4, 6, 8]
    assert any("raw_loss/rpn_head.loss_rpn_cls/real" in line for line in ours)
    assert any(name.startswith("gradient_share/roi_head.bbox_head/") for name in ours[0])
    text = Path(runner.logger.log_file).read_text()  # type: ignore[attr-defined]
    assert "real | rpn_head: loss " in text and "rendered | roi_head.bbox_head: loss " in text
    facts = json.loads(next((tmp_path / "run").glob("*/vis_data/headweights.json")).read_text())
    assert [d["name"] for d in facts["datasets"]] == ["real", "rendered"] and facts["target"] == "real"
    assert all(len(d["samples"]) == 4 and d["samples"][0]["boxes"] for d in facts["datasets"])


@OPTIM_WRAPPERS.register_module(force=True)
class Bfloat16OptimWrapper(OptimWrapper):  # type: ignore[misc]
    """mmengine's own for mixed precision asks for a GPU."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield


def test_bfloat16_and_accumulated_gradients(tmp_path: Path) -> None:
    made = config(tmp_path, "run", 1, RETINANET)
    made.optim_wrapper = dict(type="Bfloat16OptimWrapper", accumulative_counts=2, optimizer=dict(type="SGD", lr=0.001))
    Runner.from_cfg(made).train()
    scalars = [line for line in log_of(tmp_path / "run") if any(name.startswith("gradient_share/") for name in line)]
    assert scalars
    for line in scalars:
        assert sum(value for name, value in line.items() if name.startswith("gradient_share/")) == pytest.approx(1)


@MODEL_WRAPPERS.register_module(force=True)
class OnCPU(MMDistributedDataParallel):  # type: ignore[misc]
    """mmengine hands every wrapper a device number, which DDP takes for a GPU's."""

    def __init__(self, module: nn.Module, **kwargs: Any) -> None:
        super().__init__(module)


def rank_of_two(rank: int, folder: str, port: int) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    made = config(Path(folder), "ddp", 1, launcher="pytorch", model_wrapper_cfg=dict(type="OnCPU"))
    # Each rank sees the pictures of one data set only.
    made.train_dataloader.sampler.shuffle = False
    made.train_dataloader.batch_size = 1
    made.train_dataloader.dataset.datasets = [dict(d, indices=1) for d in made.train_dataloader.dataset.datasets]
    made.train_cfg.max_epochs = 1
    Runner.from_cfg(made).train()
    dist.destroy_process_group()


def test_two_ranks_with_different_data_sets(tmp_path: Path) -> None:
    config(tmp_path, "unused", 1)  # writes the data
    mp.start_processes(rank_of_two, args=(str(tmp_path), 29555), nprocs=2, start_method="fork")
    (line,) = [line for line in log_of(tmp_path / "ddp") if any(name.startswith("raw_loss/") for name in line)]
    for dataset in ("real", "rendered"):
        assert f"raw_loss/rpn_head.loss_rpn_cls/{dataset}" in line
    for head in ("rpn_head", "roi_head.bbox_head"):
        assert sum(line[f"gradient_share/{head}/{d}"] for d in ("real", "rendered")) == pytest.approx(1)
        assert -1 <= line[f"gradient_cosine/{head}/real vs rendered"] <= 1

"""Trainings with ``LossWeights`` go as a plain loop goes in which every label dict states its weights."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from support.transformers_training import (
    RATE,
    Drawn,
    InOrder,
    Logged,
    Run,
    Watch,
    assert_same,
    collate,
    differ,
    entries,
    new,
    stated,
    train,
    train_plainly,
)
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback

from headweights.transformers import LossWeights

pytestmark = pytest.mark.slow

RT_DETR, YOLOS = "rt-detr-denoising", "yolos"
CROSS_ENTROPY, VARIFOCAL = "loss_ce", "loss_vfl"
# What a model calls its classification loss.
CLASSES = {RT_DETR: VARIFOCAL, YOLOS: CROSS_ENTROPY}
EPOCH = 4  # the steps of an epoch of the mix below


def block(classes: str = CROSS_ENTROPY) -> dict[str, Any]:
    """Weights by iteration and by epoch.

    Args:
        classes: What the model calls its classification loss.
    """
    return {
        "real": {classes: dict(schedule="step", points=[(0, 2.0), (1, 0.5)], by="epoch")},
        "synthetic": {classes: 0.05, "loss_bbox": dict(schedule="linear", points=[(0, 2.0), (4, 0.0)], by="iter")},
    }


def at(dataset: str, step: int, classes: str = CROSS_ENTROPY) -> Mapping[str, float]:
    """The same weights, stated."""
    if dataset == "real":
        return {classes: 2.0 if step < EPOCH else 0.5}
    return {classes: 0.05, "loss_bbox": max(2.0 - 0.5 * step, 0.0)}


def mix(weights: LossWeights, images: int = 4, **settings: Any) -> Any:
    return weights.mix(real=Drawn(1, images), synthetic=Drawn(2, images), **settings)


def run(folder: Path, name: str = YOLOS, weights: LossWeights | None = None, images: int = 4, **settings: Any) -> Run:
    """Trains with these weights; every step is measured."""
    weights = weights or LossWeights(block(CLASSES[name]), interval=1)
    return train(folder, new(name), mix(weights, images), weights, **settings)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """A Trainer tells accelerate of its precision and compiler, which would remember them in later tests."""
    with patch.dict(os.environ):
        yield
    AcceleratorState._reset_state(reset_partial_state=True)


# --- the Trainer ---


@pytest.mark.parametrize(
    ("name", "settings", "plainly"),
    [
        pytest.param(YOLOS, {}, {}, id="yolos"),
        pytest.param(RT_DETR, {}, {}, id="rt-detr"),
        pytest.param(YOLOS, dict(dataloader_num_workers=2), {}, id="two workers"),
        pytest.param(YOLOS, dict(gradient_accumulation_steps=2, images=8), dict(accumulate=2), id="accumulated gradients"),
        pytest.param(YOLOS, dict(bf16=True), dict(half=True), id="bfloat16"),
    ],
)
def test_a_trainer_trains_as_the_plain_loop_does(
    tmp_path: Path, name: str, settings: dict[str, Any], plainly: dict[str, Any]
) -> None:
    """Also while every step is measured."""
    trained = run(tmp_path, name, max_steps=6, **settings)
    weights = partial(at, classes=CLASSES[name])
    assert_same(trained.state, train_plainly(new(name), trained.batches, weights, **plainly))
    assert differ(trained.state, train_plainly(new(name), trained.batches, None, **plainly))
    assert all(any(name.startswith("raw_loss/") for name in entry) for entry in trained.log)
    assert trained.logged("gradient_share")


class RandomStates(TrainerCallback):  # type: ignore[misc]
    """Keeps the random state at the end of every step."""

    def __init__(self) -> None:
        self.states: dict[str, Tensor] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.states[str(state.global_step)] = torch.get_rng_state()


@pytest.mark.parametrize(("name", "checkpointing"), [(RT_DETR, False), (YOLOS, True)])
def test_weights_of_one_train_as_the_stock_trainer_does_bit_for_bit(tmp_path: Path, name: str, checkpointing: bool) -> None:
    """Even if every step is measured: the model's state, the random states, and what is logged."""
    dataset = [*Drawn(1, 4), *Drawn(2, 4)]
    random = [RandomStates(), RandomStates()]
    stock = train(tmp_path / "stock", new(name), dataset, callbacks=[random[0]], gradient_checkpointing=checkpointing)
    weights = LossWeights({"real": 1.0, "synthetic": {"": 1.0}}, interval=1)
    ones = run(tmp_path / "ones", name, weights, callbacks=[random[1]], gradient_checkpointing=checkpointing)
    assert_same(ones.state, stock.state)
    assert_same(random[1].states, random[0].states)
    assert [{name: entry[name] for name in entry if "/" not in name} for entry in ones.log] == stock.log
    assert ones.logged("gradient_cosine")


def test_a_resumed_training_goes_on_as_the_uninterrupted_one(tmp_path: Path) -> None:
    """With YOLOS: transformers itself loads checkpoints of RT-DETR and others only in part when it resumes."""
    settings = dict(max_steps=6, save_strategy="steps", save_steps=3)
    whole = run(tmp_path / "whole", **settings)
    assert_same(whole.state, train_plainly(new(), whole.batches, at))
    resumed = run(tmp_path / "resumed", resume=str(tmp_path / "whole" / "checkpoint-3"), **settings)
    assert len(resumed.batches) == 3
    assert_same(resumed.state, whole.state)
    before, after = ([weights_in(entry) for entry in trained.log] for trained in (whole, resumed))
    assert after == before
    assert before[5]["weight/loss_ce/real"] == 0.5


def weights_in(entry: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in entry.items() if name.startswith("weight/")}


def test_a_resumed_training_draws_the_same_items(tmp_path: Path) -> None:
    runs = []
    for name, resume in (("whole", False), ("resumed", str(tmp_path / "whole" / "checkpoint-6"))):
        weights = LossWeights()
        dataset = mix(weights, probabilities=dict(real=3, synthetic=1))
        settings = dict(max_steps=8, save_strategy="steps", save_steps=6)
        runs.append(train(tmp_path / name, new(), dataset, weights, resume=resume, **settings))
    whole, resumed = ([seen(batch) for batch in trained.batches] for trained in runs)
    assert resumed == whole[6:]
    epochs = [sorted(item for batch in whole[start : start + EPOCH] for item in batch) for start in (0, EPOCH)]
    assert epochs[0] != epochs[1]


def seen(batch: Any) -> list[tuple[str, int]]:
    return [(label["dataset"], label["image_id"]) for label in batch.labels]


def test_an_evaluation_during_training_is_stocks(tmp_path: Path) -> None:
    """Its images name no data set, which would be an error if anything weighed."""
    states: list[dict[str, Tensor]] = []

    class States(TrainerCallback):  # type: ignore[misc]
        def on_evaluate(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
            states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    evaluated = Drawn(3, 2)
    trained = run(tmp_path, evaluated=evaluated, eval_strategy="steps", eval_steps=2, callbacks=[States()])
    assert_same(trained.state, train_plainly(new(), trained.batches, at))
    losses = [entry["eval_loss"] for entry in trained.trainer.state.log_history if "eval_loss" in entry]
    assert len(losses) == len(states) == 2
    for loss, state in zip(losses, states):
        stock = new()
        stock.load_state_dict(state)
        with torch.no_grad():
            assert loss == float(stock.eval()(**collate([*evaluated])).loss)


def test_after_the_training_nothing_weighs(tmp_path: Path) -> None:
    trained = run(tmp_path, max_steps=1)
    model = trained.trainer.model.train()
    batch = collate([*Drawn(3, 2)])
    model.zero_grad()
    torch.manual_seed(0)
    model(**batch).loss.backward()
    stock = new()
    stock.load_state_dict(model.state_dict())
    torch.manual_seed(0)
    stock.train()(**batch).loss.backward()
    assert_same(*({name: p.grad for name, p in m.named_parameters() if p.grad is not None} for m in (model, stock)))


# --- the log ---


def test_measurements_are_in_the_log_for_reporters_and_not_for_printers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = Logged()
    trained = run(tmp_path, weights=LossWeights(block()), callbacks=[reporter], logging_steps=2)
    trained.trainer.save_state()
    assert any(isinstance(callback, PrinterCallback) for callback in trained.trainer.callback_handler.callbacks)
    printed = capsys.readouterr().out
    assert "'loss'" in printed and "raw_loss/" not in printed
    written = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    expected = {entry["step"]: entries(entry) for entry in written if entries(entry)}
    assert list(expected) == [2, 4]
    assert {entry["step"]: entries(entry) for entry in reporter.logs if entries(entry)} == expected
    assert {"raw_loss/loss_ce/real", "weight/loss_bbox/synthetic"} <= expected[2].keys() | expected[4].keys()


def test_a_measurement_that_fails_ends_the_measuring_and_not_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, model = LossWeights(block(), interval=1), new()
    compute = model.loss_function

    def loss_function(*args: Any, **kwargs: Any) -> Any:
        loss, *rest = compute(*args, **kwargs)
        return (FailsOnce.apply(loss), *rest)

    model.loss_function = loss_function
    monkeypatch.setattr(FailsOnce, "has_failed", False)
    with caplog.at_level(logging.WARNING, "headweights"):
        trained = train(tmp_path, model, mix(weights), weights)
    (warning,) = (record.getMessage() for record in caplog.records if "measured" in record.getMessage())
    assert warning == "headweights: what each data set contributes is not measured any more: no second backward pass"
    assert len(trained.log) == 4
    assert not any(map(entries, trained.log))
    assert_same(trained.state, train_plainly(new(), trained.batches, at))


class FailsOnce(torch.autograd.Function):
    """A backward pass that does not like to be called twice, as some compiled ones."""

    has_failed = False

    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if not FailsOnce.has_failed:
            FailsOnce.has_failed = True
            raise RuntimeError("no second backward pass")
        return gradients


# --- compiled ---


def test_a_compiled_model_is_weighted_and_measured_but_for_cosines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "headweights"):
        trained = run(tmp_path, torch_compile=True, torch_compile_backend="aot_eager")
    assert isinstance(trained.trainer.model_wrapped, torch._dynamo.OptimizedModule)
    for name, expected in train_plainly(new(), trained.batches, at).items():
        torch.testing.assert_close(trained.state[name], expected, rtol=1e-4, atol=1e-6, msg=name)
    assert trained.logged("raw_loss") and trained.logged("gradient_share") and not trained.logged("gradient_cosine")
    (warning,) = (record.getMessage() for record in caplog.records if "measured" in record.getMessage())
    assert "the last layers of YolosForObjectDetection are not found (a compiled model does not show them)" in warning


# --- two processes ---


def rank_of_two(rank: int, folder: str) -> None:
    """The first step of the first rank sees no synthetic image, everything else sees nothing else."""
    torch.set_num_threads(1)
    where = dict(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
    os.environ.update(where)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    weights = LossWeights(block(), interval=1)
    dataset = weights.mix(real=Drawn(1, 2), synthetic=Drawn(2, 14))
    trained = train(Path(folder), new(), dataset, weights, trainer_class=InOrder)
    assert isinstance(trained.trainer.model_wrapped, DistributedDataParallel)
    plainly = train_plainly(DistributedDataParallel(new()), trained.batches, at)
    assert_same(trained.state, {name.removeprefix("module."): tensor for name, tensor in plainly.items()})
    weights = LossWeights()
    dataset = weights.mix(real=Drawn(1, 8), synthetic=Drawn(2, 8), probabilities=dict(real=3, synthetic=1))
    drawn = train(Path(folder), new(), dataset, weights, trainer_class=InOrder, max_steps=8)
    torch.save((trained.batches, trained.log, [seen(batch) for batch in drawn.batches]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_train_as_one_and_measure_together(tmp_path: Path) -> None:
    mp.spawn(rank_of_two, args=(str(tmp_path),), nprocs=2)
    batches, (log, other_log), drawn = zip(*(torch.load(f"{tmp_path}/{rank}.pt", weights_only=False) for rank in range(2)))
    first = [of_rank[0] for of_rank in batches]
    assert [{label["dataset"] for label in batch.labels} for batch in first] == [{"real"}, {"synthetic"}]
    # Each process has all measurements.
    assert [entries(entry) for entry in log] == [entries(entry) for entry in other_log]
    # In the first step each data set is in one process, later the second is in both: the mean is over all images.
    for entry, datasets in ((log[0], 2), (log[1], 1)):
        raw = [value for name, value in entry.items() if name.startswith("raw_loss/")]
        assert len(raw) == 2 * datasets
        assert sum(raw) / datasets == pytest.approx(entry["loss"], rel=1e-5)
    stock, gradients = new().train(), []
    layers = {"loss_ce": stock.class_labels_classifier.layers[2], "loss_bbox": stock.bbox_predictor.layers[2]}
    for batch in first:
        loss = stock(pixel_values=batch.images, labels=stated(batch.labels, None, 0)).loss
        gradients.append(
            {target: torch.autograd.grad(loss, [*layer.parameters()], retain_graph=True) for target, layer in layers.items()}
        )
    for target in layers:
        one, other = (torch.cat([part.flatten() for part in of[target]]) for of in gradients)
        cosine = torch.nn.functional.cosine_similarity(one, other, dim=0)
        assert log[0][f"gradient_cosine/{target}/real vs synthetic"] == pytest.approx(float(cosine), rel=1e-4)
    # An epoch of sixteen items has four steps on each of two ranks. The next is drawn anew.
    epochs = [sorted(item for rank in drawn for step in rank[start : start + 4] for item in step) for start in (0, 4)]
    assert all(len(epoch) == 16 for epoch in epochs)
    assert epochs[0] != epochs[1]


# --- loops of one's own ---


def plain_wrapper(model: nn.Module, optimizer: Any, loader: Any) -> tuple[Any, ...]:
    return model, optimizer, loader, Tensor.backward


def accelerated(model: nn.Module, optimizer: Any, loader: Any) -> tuple[Any, ...]:
    accelerator = Accelerator(cpu=True)
    return (*accelerator.prepare(model, optimizer, loader), accelerator.backward)


def distributed(model: nn.Module, optimizer: Any, loader: Any) -> tuple[Any, ...]:
    return DistributedDataParallel(model), optimizer, loader, Tensor.backward


@pytest.fixture
def alone_in_a_group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone_in_a_group")
@pytest.mark.parametrize("prepared", [plain_wrapper, accelerated, distributed])
def test_a_loop_of_ones_own_trains_as_the_plain_loop_does(prepared: Callable[..., tuple[Any, ...]]) -> None:
    """And gets the measurements for its log."""
    weights = LossWeights(block(), interval=4)
    dataset = mix(weights)
    model = new().train()
    watch = Watch(model)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    loader = DataLoader(dataset, 2, collate_fn=collate)
    wrapped, optimizer, loader, backward = prepared(model, optimizer, loader)
    assert weights.weigh(wrapped, dataset, steps=8, epochs=2) is wrapped
    torch.manual_seed(0)
    measured = []
    for step in range(8):
        if step % EPOCH == 0:
            batches = iter(loader)
        backward(wrapped(**next(batches)).loss)
        optimizer.step()
        optimizer.zero_grad()
        measured.append(weights.step(epoch=(step + 1) // EPOCH))
    assert_same(model.state_dict(), train_plainly(new(), watch.batches, at))
    assert [step for step, found in enumerate(measured) if found] == [3, 7]
    assert measured[7]["weight/loss_bbox/synthetic"] == 0
    assert 0 < measured[3]["gradient_share/loss_ce/synthetic"] <= 1

"""Trainings of tiny detectors of transformers: through the ``Trainer``, and the plain loop that each is held against.

The plain loop sees the batches and the random states that the model saw in the ``Trainer``, and a label dict there states its
weights itself. What a stated weight does is shown elsewhere (tests/exactness/test_transformers.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from headweights.transformers import LossWeights, weigh
from support.transformers_zoo import CLASSES, SIZE, ZOO, Architecture, build

RATE = 0.01
# The weights of the images of a data set at a step, by target.
WeightsAt = Callable[[str, int], Mapping[str, float]]


@cache
def architecture(name: str) -> Architecture:
    """The architecture with a name in the zoo."""
    return next(arch for arch in ZOO if arch.name == name)


class Drawn(Dataset[Any]):
    """Images of noise with random boxes.

    Args:
        seed: The seed of everything in them.
        images: Their number.
        objects: The number of boxes of each.
    """

    def __init__(self, seed: int, images: int, objects: int = 2) -> None:
        self.seed = seed
        self.images = images
        self.objects = objects

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        random = torch.Generator().manual_seed(1000 * self.seed + number)
        boxes = torch.rand(self.objects, 4, generator=random) * 0.3 + 0.3
        classes = torch.randint(CLASSES, (self.objects,), generator=random)
        image = torch.rand(3, SIZE, SIZE, generator=random)
        return {"pixel_values": image, "labels": {"image_id": number, "class_labels": classes, "boxes": boxes}}


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A collator as users write it."""
    return {"pixel_values": torch.stack([item["pixel_values"] for item in items]), "labels": [item["labels"] for item in items]}


# ----------------------------------------------------------------------------------------------------------------------
# Through the Trainer
# ----------------------------------------------------------------------------------------------------------------------


def arguments(folder: Path, **settings: Any) -> TrainingArguments:
    """Arguments of a short training on the CPU, with plain SGD and every step in the log."""
    defaults = dict(
        max_steps=4,
        per_device_train_batch_size=2,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        logging_steps=1,
        save_strategy="no",
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
    )
    return TrainingArguments(str(folder), **{**defaults, **settings})


class InOrder(Trainer):  # type: ignore[misc]
    """A ``Trainer`` that takes the images in their order."""

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


class Logged(TrainerCallback):  # type: ignore[misc]
    """A reporting callback: it keeps what it is given to report."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any) -> None:
        self.logs.append({**logs, "step": state.global_step})


@dataclass(frozen=True, eq=False)
class Batch:
    """What a model was called with in a training step, and the random state then."""

    images: Tensor
    labels: Sequence[Mapping[str, Any]]
    random_state: Tensor


class Watch:
    """Keeps every batch that a model is trained on."""

    def __init__(self, model: nn.Module) -> None:
        self.batches: list[Batch] = []
        model.register_forward_pre_hook(self._see, with_kwargs=True)

    @torch.compiler.disable
    def _see(self, model: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        if torch.is_grad_enabled():
            labels = [dict(label) for label in kwargs["labels"]]
            self.batches.append(Batch(kwargs["pixel_values"].clone(), copy.deepcopy(labels), torch.get_rng_state()))


@dataclass
class Run:
    """A training through the ``Trainer``."""

    trainer: Trainer
    batches: Sequence[Batch]

    @property
    def state(self) -> dict[str, Tensor]:
        """The model's parameters and buffers."""
        return self.trainer.model.state_dict()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The steps in the Trainer's log."""
        return [entry for entry in self.trainer.state.log_history if "loss" in entry]

    def logged(self, quantity: str) -> dict[str, float]:
        """The last value of every entry of a quantity, by the rest of its name."""
        entries = [(name, value) for entry in self.log for name, value in entry.items()]
        return {name.partition("/")[2]: value for name, value in entries if name.startswith(quantity + "/")}


def train(
    folder: Path,
    model: nn.Module,
    dataset: Any,
    weights: LossWeights | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    collator: Any = collate,
    trainer_class: type[Trainer] = Trainer,
    resume: bool | str = False,
    evaluated: Any = None,
    **settings: Any,
) -> Run:
    """Trains a model through the ``Trainer``, as a user would."""
    watch = Watch(model)
    trainer = trainer_class(
        model=model,
        args=arguments(folder, **settings),
        train_dataset=dataset,
        eval_dataset=evaluated,
        data_collator=collator,
        callbacks=[*callbacks, *([weights] if weights is not None else [])],
    )
    trainer.train(resume_from_checkpoint=resume or None)
    return Run(trainer, watch.batches)


def entries(log: Mapping[str, Any]) -> dict[str, float]:
    """The measurements in a log entry."""
    return {name: value for name, value in log.items() if "/" in name}


# ----------------------------------------------------------------------------------------------------------------------
# The plain loop
# ----------------------------------------------------------------------------------------------------------------------


def train_plainly(
    model: nn.Module,
    batches: Sequence[Batch],
    weights: WeightsAt | None,
    accumulate: int = 1,
    half: bool = False,
) -> dict[str, Tensor]:
    """Trains a model in a plain loop and returns its state.

    Args:
        model: The model, stock; may be wrapped for several processes.
        batches: What it sees, in order.
        weights: What each image weighs. None to leave the model stock.
        accumulate: The number of batches in a step.
        half: Whether to compute in bfloat16 where autocast does.
    """
    if weights is not None:
        weigh(getattr(model, "module", model))
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    model.train()
    for step, of_step in enumerate(_chunks(batches, accumulate)):
        for batch in of_step:
            torch.set_rng_state(batch.random_state)
            with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
                loss = model(pixel_values=batch.images, labels=stated(batch.labels, weights, step)).loss
            (loss.float() / accumulate).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


def stated(labels: Sequence[Mapping[str, Any]], weights: WeightsAt | None, step: int) -> list[dict[str, Any]]:
    """Label dicts that name no data set but state their weights."""
    plain = [{key: label[key] for key in ("class_labels", "boxes", "masks") if key in label} for label in labels]
    if weights is not None:
        for label, named in zip(plain, labels):
            label["loss_weight"] = dict(weights(named["dataset"], step))
    return plain


def _chunks(batches: Sequence[Batch], size: int) -> Iterator[Sequence[Batch]]:
    assert len(batches) % size == 0
    return (batches[start : start + size] for start in range(0, len(batches), size))


def assert_same(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Bit for bit."""
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


def differ(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two states of a model differ anywhere."""
    return any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def new(name: str = "yolos") -> nn.Module:
    """A new tiny model; always the same."""
    return build(architecture(name))

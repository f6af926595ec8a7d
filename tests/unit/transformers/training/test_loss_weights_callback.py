"""The callback with the block: its settings, its check, its record and its search, without a long training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.transformers_zoo import ZOO, build
from transformers import Trainer, TrainingArguments

from headweights import WeightError
from headweights.transformers import LossWeights

DETR = next(arch for arch in ZOO if arch.model == "DetrForObjectDetection")
BATCH = DETR.batch((2, 1))


def items(count: int) -> list[dict[str, Any]]:
    """Images of the zoo's batch, again and again."""
    return [{"pixel_values": BATCH["pixel_values"][n % 2], "labels": dict(BATCH["labels"][n % 2])} for n in range(count)]


def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
    return {"pixel_values": torch.stack([item["pixel_values"] for item in batch]), "labels": [item["labels"] for item in batch]}


def trainer(weights: LossWeights, folder: Path, **settings: Any) -> Trainer:
    defaults = dict(max_steps=2, per_device_train_batch_size=2, remove_unused_columns=False, report_to=[], save_strategy="no")
    arguments = TrainingArguments(str(folder), use_cpu=True, disable_tqdm=True, **{**defaults, **settings})
    mix = weights.mix(real=items(2), synthetic=items(4))
    return Trainer(model=build(DETR), args=arguments, train_dataset=mix, data_collator=collate, callbacks=[weights])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(weights=0.5), "LossWeights: weights is 0.5; it must be a table"),
        (dict(weights={"real": -1}), "data set 'real' is -1; a loss weight is not negative"),
        (dict(weights={"real": {"loss_ce": "much"}}), "data set 'real', 'loss_ce' is 'much'"),
        (dict(weights={"real": dict(schedule="linear")}), "has no 'points'"),
        (dict(images=["quality.csv"]), "LossWeights: images is .* it must be a table"),
        (dict(normalize=1), "normalize is 1; it must be True or False"),
        (dict(target=""), "target is ''; it must be the name of a data set"),
        (dict(interval=-1), "interval is -1"),
    ],
)
def test_an_invalid_setting_is_an_error_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(WeightError, match=message):
        LossWeights(**arguments)


def test_a_check_finds_every_mistake() -> None:
    weights = LossWeights({"synthetc": 0.5, "real": {"loss_cls": 1.0, "loss_giou": 0.5}}, target="reel")
    checked = weights.check(build(DETR), weights.mix(real=items(2), synthetic=items(2)))
    assert len(checked.stops) == 4
    for words in (
        "'reel' is no data set of this training. Nearest valid: 'real'",
        "'synthetc' is no data set of this training. Nearest valid: 'synthetic'",
        "'loss_cls': nothing in this model reads it. Nearest valid: 'loss_ce'",
        "'loss_giou': it is computed from the same predictions as loss_bbox",
    ):
        assert any(words in message for message in checked.stops), words
        assert words in str(checked)


def test_a_check_shows_shares_and_gives_advice() -> None:
    weights = LossWeights({"synthetic": {"loss_ce": 0.0001}})
    checked = weights.check(build(DETR), weights.mix(real=items(1), synthetic=items(3)))
    assert not checked.stops
    assert {problem.kind for problem in checked.problems} == {"tiny share", "learning rate"}
    assert "| synthetic |      3 |" in str(checked)
    assert "1 (25.0%)" in str(checked)


def test_mistakes_stop_a_training_before_its_first_step(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match="Nearest valid: 'loss_bbox'"):
        trainer(LossWeights({"real": {"loss_box": 2.0}}), tmp_path).train()
    with pytest.raises(WeightError, match="remove_unused_columns=False"):
        trainer(LossWeights(), tmp_path, remove_unused_columns=True).train()


def test_a_training_without_its_labels_stops(tmp_path: Path) -> None:
    training = trainer(LossWeights({"real": 2.0}), tmp_path)
    training.compute_loss_func = lambda outputs, labels, **kwargs: outputs.logits.sum()
    with pytest.raises(WeightError, match="no compute_loss_func"):
        training.train()


def test_the_record_describes_the_training(tmp_path: Path) -> None:
    trainer(LossWeights({"synthetic": {"loss_ce": 0.5}}, target="real"), tmp_path, learning_rate=3e-4).train()
    record = json.loads((tmp_path / "headweights.json").read_text())
    assert record["target"] == "real"
    assert [(dataset["name"], dataset["images"]) for dataset in record["datasets"]] == [("real", 2), ("synthetic", 4)]
    assert [head["path"] for head in record["heads"]] == ["loss_ce", "loss_bbox"]
    weights = {(row["dataset"], row["head"]): row["weight"] for row in record["table"]}
    assert weights == {
        ("real", "loss_ce"): 1,
        ("real", "loss_bbox"): 1,
        ("synthetic", "loss_ce"): 0.5,
        ("synthetic", "loss_bbox"): 1,
    }
    assert record["settings"]["learning_rate"] == 3e-4


def test_a_loop_of_its_own_follows_schedules_and_measures(capsys: pytest.CaptureFixture[str]) -> None:
    schedule = dict(schedule="linear", points=[(0, 1.0), (4, 0.2)], by="iter")
    weights = LossWeights({"synthetic": {"loss_ce": schedule}}, interval=2)
    mix = weights.mix(real=items(2), synthetic=items(2))
    model = weights.weigh(build(DETR), mix)
    assert "| synthetic |" in capsys.readouterr().out
    measured = []
    for _ in range(4):
        model(**collate([mix[0], mix[3]])).loss.backward()
        measured.append(weights.step())
    assert [len(of_step) > 0 for of_step in measured] == [False, True, False, True]
    name = "weight/loss_ce/synthetic"
    assert [of_step[name] for of_step in measured if of_step] == pytest.approx([0.8, 0.4])
    assert measured[1]["raw_loss/loss_ce/synthetic"] * 0.8 == pytest.approx(measured[1]["weighted_loss/loss_ce/synthetic"])


def test_a_loop_that_has_not_begun_says_so() -> None:
    with pytest.raises(WeightError, match="call weigh"):
        LossWeights().step()


def test_a_search_draws_the_weights_of_the_block(tmp_path: Path) -> None:
    schedule = dict(schedule="step", points=[(0, 1.0), (1, 0.2)], by="iter")
    weights = LossWeights({"real": 1.0, "synthetic": {"loss_ce": 0.5, "loss_bbox": schedule}}, target="real")
    training = trainer(weights, tmp_path, max_steps=1)
    training.model_init = lambda trial=None: build(DETR)
    training.eval_dataset = items(2)
    seen = []
    best = training.hyperparameter_search(
        backend="optuna",
        hp_space=lambda trial: seen.append(trial) or weights.hp_space(trial),
        compute_objective=lambda metrics: metrics["eval_loss"],
        n_trials=2,
    )
    assert list(best.hyperparameters) == ["synthetic: loss_ce"]
    for trial in seen:
        record = json.loads((tmp_path / f"run-{trial.number}" / "headweights.json").read_text())
        drawn = {row["head"]: row["weight"] for row in record["table"] if row["dataset"] == "synthetic"}
        assert drawn == {"loss_ce": pytest.approx(trial.params["synthetic: loss_ce"]), "loss_bbox": 1.0}
    assert 0.03 <= seen[0].params["synthetic: loss_ce"] <= 3
    assert seen[0].params != seen[1].params


def test_a_search_without_weights_is_an_error() -> None:
    with pytest.raises(WeightError, match="no weight to search"):
        LossWeights({"real": 2.0}, target="real").hp_space(None)

"""Mistakes with `headweights tune`, as a new user makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from support.detectors import RETINANET
from support.mistakes import Mistake, check_message, command
from support.tuning import KNOWN, tuned_config


def tune(
    *options: str, target: str | None = "real", change: Callable[[Any], None] = lambda config: None, **given: Any
) -> Callable[[Path], str]:
    """Tunes a config, after a change to it, with these options."""

    def make(folder: Path) -> str:
        path = tuned_config(folder, model=RETINANET, evaluator=KNOWN, **given)
        config = Config.fromfile(path)
        change(config)
        config.dump(path)
        aimed = [] if target is None else ["--target", target]
        return command("tune", path, *aimed, "--work-dir", folder / "run", *options)

    return make


def without_validation(config: Any) -> None:
    config.val_evaluator = None


def other_sampler(config: Any) -> None:
    config.train_dataloader.sampler = dict(type="ClassAwareSampler")


def in_a_file(folder: Path) -> str:
    (folder / "run").write_text("")
    return tune()(folder)


def of_another_study(folder: Path) -> str:
    """A work directory with trials whose study is in another storage."""
    (folder / "run/trials").mkdir(parents=True)
    (folder / "run/trials/study.txt").write_text("of another study\n")
    return tune()(folder)


def pipeline_weights(config: Any) -> None:
    step = dict(type="AddFieldToImgMetas", fields=["bbox_head.loss_weight"], values=[0.5])
    config.train_dataloader.dataset.datasets[1].pipeline.append(step)


MISTAKES = [
    Mistake("a wrong path", lambda folder: command("tune", folder / "confg.py"), ("no such file", "name a training config")),
    Mistake("no target", tune(target=None), ("which data set is the detector for?", "--target", "'real', 'rendered'")),
    Mistake("a typo in the target", tune(target="rael"), ("--target 'rael'", "Nearest valid: 'real'")),
    Mistake("one data set", tune(names=["real"]), ("one data set", "nothing to weigh it against")),
    Mistake("a typo in a head", tune("--head", "bbox_haed"), ("--head bbox_haed", "Nearest valid: 'bbox_head'")),
    Mistake("a head of another detector", tune("--head", "roi_head"), ("--head roi_head", "Valid here: 'bbox_head'")),
    Mistake("no validation", tune(change=without_validation), ("validates nothing", "val_evaluator=dict(type='CocoMetric'")),
    Mistake(
        "a typo in a metric", tune("--metric", "acuracy"), ("--metric acuracy", "If it is spelt right", "save_best='acuracy'")
    ),
    Mistake("levels without 1 between them", tune("--low", "2", "--high", "3"), ("--low is 2 and --high is 3", "contain 1")),
    Mistake("a fraction in per cent", tune("--fraction", "50"), ("--fraction is 50", "above 0 and at most 1")),
    Mistake("a fraction of one epoch", tune("--fraction", "0.5"), ("--fraction 0.5", "1 epoch", "no shorter")),
    Mistake("a sampler and sampling", tune("--sampling", change=other_sampler), ("ClassAwareSampler", "Leave one out")),
    Mistake("weights in the pipeline", tune(change=pipeline_weights), ("AddFieldToImgMetas", "bbox_head")),
    Mistake(
        "a typo in an option of the config",
        tune("--cfg-options", "modell"),
        ("--cfg-options 'modell'", "it is not <key>=<value>"),
    ),
    Mistake("a work directory that is a file", in_a_file, ("--work-dir", "run")),
    Mistake(
        "the work directory of another study", of_another_study, ("the trials of another study", "choose another --work-dir")
    ),
    Mistake("a storage that is a file", tune("--storage", "tune.db"), ("not a storage address", "sqlite:///<file>")),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_the_message_says_what_is_wrong_and_what_to_do(mistake: Mistake, tmp_path: Path) -> None:
    check_message(mistake, tmp_path)

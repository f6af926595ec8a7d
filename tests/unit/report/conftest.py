"""Runs of transformers' Trainer, trained once a session."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def trainer_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`finished`; `plain`, without headweights; `resumed` from step 8, which was killed before it had saved its state."""
    from support.trainer_runs import save, train

    folder = tmp_path_factory.mktemp("trainer_runs")
    finished = train(folder / "finished")
    finished.evaluate(metric_key_prefix="test")
    save(finished)
    save(train(folder / "plain", weighted=False))
    save(train(folder / "resumed", steps=8))
    train(folder / "resumed", steps=16, resume=True)
    return folder

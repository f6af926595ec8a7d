"""examples/transformers/train.py runs as it is, with few steps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "transformers" / "train.py"


@pytest.mark.slow
def test_the_example_trains_without_and_with_weights_and_compares(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--steps", "2", "--output", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (scores,) = re.findall(r"^mAP on held-out scenes +(\S+) +(\S+)$", run.stdout, flags=re.MULTILINE)
    assert f"headweights report {tmp_path}/unweighted {tmp_path}/weighted" in run.stdout
    for name, score, weight in (("unweighted", scores[0], 1.0), ("weighted", scores[1], 0.05)):
        log = json.loads((tmp_path / name / "trainer_state.json").read_text())["log_history"]
        assert f"{log[-1]['eval_map']:.3f}" == score
        assert {"raw_loss/loss_vfl/wrong_labels", "loss_share/loss_bbox/wrong_boxes"} <= log[0].keys()
        record = json.loads((tmp_path / name / "headweights.json").read_text())
        assert [dataset["name"] for dataset in record["datasets"]] == ["clean", "wrong_labels", "wrong_boxes"]
        given = {(row["dataset"], row["head"]): row["weight"] for row in record["table"]}
        assert given["wrong_labels", "loss_vfl"] == weight

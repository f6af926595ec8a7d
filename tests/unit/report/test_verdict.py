"""The verdict at the top of the page, on runs as readers read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.logs import REAL, RENDERED, VENDOR, write_run

from headweights.report.runs.readers import read_runs
from headweights.report.runs.run import Run
from headweights.report.shares import shares_of
from headweights.report.verdict import verdict


def said(*folders: Path) -> dict[str, str]:
    """The sentences under each heading."""
    runs = read_runs(folders)
    return dict(verdict(runs, list(dict.fromkeys(name for run in runs for name in run.datasets))))


def log_of(work_dir: Path, *lines: dict[str, float], **record: object) -> Path:
    """A run with these lines in its log and this record."""
    folder = work_dir / "20260101_120000" / "vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "headweights.json").write_text(json.dumps({"version": 1, "datasets": [], "heads": [], "table": [], **record}))
    return work_dir


def test_one_run(tmp_path: Path) -> None:
    write_run(tmp_path / "weighted", {})
    found = said(tmp_path / "weighted")
    assert list(found) == ["Set", "Effect", "Outcome", "Next"]
    assert f"{RENDERED}: one fifth (0.2) in roi_head; its classification one twentieth (0.05)" in found["Set"]
    assert f"{VENDOR}: from 1 to 0.1" in found["Set"]
    assert found["Set"].endswith("Every other data set counts fully.")
    assert f"{REAL} has 10% of the images, " in found["Effect"] and "(roi_head) of the gradient." in found["Effect"]
    assert found["Outcome"] == "coco/bbox_mAP is 0.259 at the end."
    assert "In roi_head, rendered's gradient opposes real's" in found["Next"]
    assert "One training proves nothing" in found["Next"] and "headweights tune" in found["Next"]


def test_two_runs_are_told_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "unweighted", {}, roi_weight=1, scheduled=False, seed=1, lr=0.004)
    write_run(tmp_path / "weighted", {})
    found = said(tmp_path / "unweighted", tmp_path / "weighted")
    assert "In unweighted, every data set counts fully in every head. In weighted, rendered: one fifth" in found["Set"]
    assert found["Set"].endswith("Other differences: learning rate and seed.")
    assert "(unweighted) and " in found["Effect"]
    assert found["Outcome"] == "coco/bbox_mAP at the end: 0.216 (unweighted) and 0.259 (weighted), a difference of 0.043."
    assert "One training each proves nothing" in found["Next"]


def test_what_runs_with_other_seeds_differ_by_is_chance(tmp_path: Path) -> None:
    for number, weight in enumerate((0.2, 0.2, 1)):
        log = write_run(tmp_path / str(number), {}, roi_weight=weight, seed=number) / "scalars.json"
        with log.open("a") as file:
            file.write(json.dumps({"coco/bbox_mAP": 0.3 + 0.01 * number, "step": 300}) + "\n")
    found = said(*(tmp_path / str(number) for number in range(3)))
    assert "The runs weigh differently: rendered in roi_head (0.2, 0.2 and 1)" in found["Set"]
    assert "Runs that differ in their seeds alone differ by up to 0.01: less than that is chance." in found["Next"]


def test_many_runs_are_a_range(tmp_path: Path) -> None:
    weights = (1, 0.5, 0.2, 0.1)
    for weight in weights:
        write_run(tmp_path / f"w{weight}", {}, roi_weight=weight, scheduled=False)
    found = said(*(tmp_path / f"w{weight}" for weight in weights))
    assert "rendered in roi_head (1, 0.5, 0.2 and 0.1)" in found["Set"]
    assert found["Outcome"].startswith("coco/bbox_mAP at the end: from 0.216 (w1) to 0.259 (w")


def test_a_data_set_that_gives_next_to_nothing(tmp_path: Path) -> None:
    lines = [
        {"gradient_share/head/a": 0.999, "gradient_share/head/b": 0.001, "gradient_share/other/a": 1.0, "step": step}
        for step in range(1, 7)
    ]
    rows = [dict(dataset=name, head=head, weight=weight) for name, head, weight in (("a", "head", 1), ("b", "head", 0.01))]
    tip = "b has only 0.1% of the gradient in head: give it more weight there, or leave it out."
    assert tip in said(log_of(tmp_path / "faint", *lines, table=rows))["Next"]
    # A weight of 0 is meant.
    rows[1]["weight"] = 0.0
    assert "has only" not in said(log_of(tmp_path / "off", *lines, table=rows))["Next"]


def test_shares_count_the_batches_without_a_data_set(tmp_path: Path) -> None:
    lines = ({"loss_share/h.loss/a": 1.0, "step": 1}, {"loss_share/h.loss/a": 0.5, "loss_share/h.loss/b": 0.5, "step": 2})
    (shares,) = shares_of(read_runs([log_of(tmp_path / "run", *lines)]))
    assert shares.by_place == {("a", "h.loss"): 0.75, ("b", "h.loss"): 0.25}
    found = said(tmp_path / "run")
    assert "a has 75% (h.loss) of the weighted loss." in found["Effect"]
    assert "few measurements (2)" in found["Effect"]


def test_without_measurements_the_expected_share_is_said(tmp_path: Path) -> None:
    rows = [dict(dataset=name, head="h", weight=1, share=share) for name, share in (("a", 0.8), ("b", 0.2))]
    found = said(log_of(tmp_path / "run", {"loss": 1.0, "step": 1}, table=rows))
    assert "a has 80% (h) of the images times their weights." in found["Effect"]
    assert found["Outcome"] == "The log has no validation metric."
    assert "Add a validation" in found["Next"] and "Give less weight" in found["Next"]


def test_a_run_without_headweights(tmp_path: Path) -> None:
    folder = log_of(tmp_path / "plain", {"loss": 1.0, "step": 1})
    assert said(folder) == {
        "Set": "No weights by data set are known.",
        "Outcome": "The log has no validation metric.",
        "Next": "Add a validation on images of the kind that the detector is meant for. "
        "Train with headweights to see what each data set does in each head.",
    }


@pytest.mark.parametrize(
    ("steps", "is_cut_short"), [(range(10, 301, 10), False), (range(40, 300, 40), False), (range(10, 101, 10), True)]
)
def test_a_run_that_was_killed(tmp_path: Path, steps: range, is_cut_short: bool) -> None:
    """The last iterations up to the end are not logged where the logger's interval does not divide them."""
    write_run(tmp_path / "run", {}, steps=steps)
    (run,) = read_runs([tmp_path / "run"])
    assert run.is_cut_short == is_cut_short
    assert ("run is cut short" in said(tmp_path / "run")["Next"]) == is_cut_short
    assert [note for note in run.notes if "the log ends at" in note] == (
        ["the log ends at 100 of 300 iterations (the run was killed or stopped, or is still going on)."] if is_cut_short else []
    )


def test_a_run_that_was_killed_by_epochs(tmp_path: Path) -> None:
    folder = log_of(tmp_path / "run", {"loss": 1.0, "epoch": 3, "iter": 12, "step": 12})
    (folder / "config.py").write_text("train_cfg = dict(max_epochs=100)\n")
    assert "3 of 100 epochs" in " ".join(read_runs([folder])[0].notes)
    (folder / "config.py").write_text("train_cfg = dict(max_epochs=3)\n")
    assert not read_runs([folder])[0].is_cut_short


def test_a_run_of_the_trainer(trainer_runs: Path) -> None:
    found = said(trainer_runs / "finished")
    assert found["Set"].startswith("night_time: one twentieth (0.05) in loss_ce")
    assert found["Outcome"] == "eval_map is 0.3 at the end."
    assert "LossWeights.hp_space" in found["Next"]
    assert found["Next"].count("cut short") == 0
    assert isinstance(read_runs([trainer_runs / "resumed"])[0], Run)

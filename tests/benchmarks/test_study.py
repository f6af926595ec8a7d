"""The study: nothing is chosen on the test split, what was stopped goes on, the figures are right."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
from mixtures.arms import TRIAL_SEED, Arm, Plan, plans, pretrainings
from mixtures.page import figures, parts, put
from mixtures.run import RESULT, SCREEN, Run, pretrained
from mixtures.schedule import RunError, run_all
from mixtures.settings import ADDRESSES, SETTINGS
from mixtures.statistics import Outcome, difference, outcomes
from scipy.stats import ttest_rel

from headweights.demo.digits import digits, letters

SEEDS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits and letters, few of them."""
    folder = tmp_path_factory.mktemp("study") / "data" / "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "SIZES", {"clean": 8, "wrong_labels": 60, "wrong_boxes": 60})
        patch.setattr(digits, "HELD_OUT", {"validation": 4, "test": 6})
        for seed in (0, 1):
            digits.make(folder / f"seed_{seed}", seed)
        digits.make_held_out(folder / "held_out")
        patch.setattr(letters, "SCENES", 20)
        patch.setattr(letters, "HELD_OUT", 3)
        letters.make(folder.parent / "letters/seed_0", 0)
        letters.make_held_out(folder.parent / "letters/held_out")
    return folder


def answered(plan: Plan, quality: Any) -> list[Run]:
    """All runs that an arm asks for, where `quality` says what each comes to."""
    arm, runs = plan.steps(), []
    asked = next(arm)
    try:
        while True:
            runs += [run for _, run in asked]
            asked = arm.send([{"mAP": quality(run)} for _, run in asked])
    except StopIteration:
        return runs


def some(run: Run) -> float:
    return sum(map(ord, json.dumps(run.described()["weights"]) + str(run.ratio))) % 97 / 97


def test_every_arm_starts_from_what_its_detector_was_pretrained_on() -> None:
    made = {}
    for plan in pretrainings():
        ((place, _),) = next(plan.steps())
        assert pretrained(Path("out"), plan.setting, plan.detector).parent == Path("out") / place
        made[plan.setting, plan.detector] = place
    for plan in plans(SEEDS):
        assert {(run.start, run.detector) for _, run in next(plan.steps())} <= set(made)


@pytest.mark.parametrize("plan", plans(SEEDS), ids=lambda plan: str(plan.folder))
def test_nothing_is_chosen_on_the_test_split(plan: Plan) -> None:
    runs = answered(plan, some)
    assert len(runs) == plan.most
    tested, trials = ([run for run in runs if run.split == split] for split in ("test", "validation"))
    assert len(tested) + len(trials) == len(runs)
    assert [run.seed for run in tested] == list(range(SEEDS)) and {run.seed for run in trials} <= {TRIAL_SEED}
    assert {run.iterations for run in runs} == {SETTINGS[plan.setting].iterations}
    if trials:
        best = max(trials, key=some)
        assert all(run.ratio == best.ratio and best.weights in (None, run.weights) for run in tested)
        assert answered(plan, some) == runs  # started again, it asks for the same


def test_a_ratio_fills_the_batch_with_every_data_set() -> None:
    for plan in plans(SEEDS):
        for run in answered(plan, some):
            assert run.ratio is None or (sum(run.ratio) == 8 and min(run.ratio) >= 1 and len(run.ratio) == len(run.datasets))


def tiny(place: str, most: int = 1, **differing: Any) -> Plan:
    run = dict(setting="digits", detector="faster-rcnn", datasets=("clean",), split="test", iterations=2)

    def steps() -> Arm:
        results = yield [(PurePath(place) / f"seed_{seed}", Run(**{**run, "seed": seed, **differing})) for seed in range(most)]
        assert [result["pictures"] for result in results] == [16] * most

    return Plan(place, place, "digits", "faster-rcnn", steps, most)


@pytest.mark.slow
@pytest.mark.xdist_group("forked")
def test_a_study_that_was_stopped_goes_on(data: Path) -> None:
    out = data.parents[1]
    reasoned = SETTINGS["digits"].reasoned["faster-rcnn"]
    arms = [
        tiny("plain", most=2),
        tiny("weighted", datasets=SETTINGS["digits"].datasets, weights=reasoned),
        tiny("sampled", datasets=SETTINGS["digits"].datasets, ratio=(4, 3, 1), detector="atss"),
        tiny("by_object", datasets=SETTINGS["digits"].datasets, by_object=True, detector="atss"),
    ]
    calls: list[tuple[str, bool]] = []

    def done(folder: Path, result: Mapping[str, Any] | None) -> None:
        calls.append((str(folder.relative_to(out)), result is not None))

    run_all(arms, out, 2, done)
    names = ("by_object/seed_0", "plain/seed_0", "plain/seed_1", "sampled/seed_0", "weighted/seed_0")
    assert sorted(calls) == [(name, True) for name in names]
    for name in names:
        assert list((out / name).glob("*.py")) and list((out / name).glob("*/*.log")), "its configuration and log are kept"
        configuration = next((out / name).glob("*.py")).read_text()
        assert ("LossWeightHook" in configuration) == name.startswith(("weighted", "by_object"))

    calls.clear()
    (out / "plain/seed_1" / RESULT).unlink()  # as a run leaves its folder that was killed
    before = (out / "plain/seed_0" / RESULT).stat().st_mtime_ns
    run_all(arms, out, 2, done)
    assert [folder for folder, ran in calls if ran] == ["plain/seed_1"] and len(calls) == len(names)
    assert (out / "plain/seed_0" / RESULT).stat().st_mtime_ns == before

    pretraining = dict(setting="letters", datasets=("letters",), split="validation")
    run_all([tiny("letters/faster-rcnn", **pretraining)], out, 2, done)
    run_all([tiny("started", start="letters")], out, 2, done)
    started = (out / "started/seed_0" / SCREEN).read_text()
    assert f"Load checkpoint from {pretrained(out, 'letters', 'faster-rcnn')}" in started
    # All but the layers whose size is the number of classes.
    assert set(re.findall(r"size mismatch for ([\w.]+):", started)) == {
        f"roi_head.bbox_head.{layer}.{kind}" for layer in ("fc_cls", "fc_reg") for kind in ("weight", "bias")
    }

    with pytest.raises(RunError, match=r"(?s)broken/seed_0 ended without a result:.*nothing_of_the_kind"):
        run_all([tiny("broken", datasets=("nothing_of_the_kind",))], out, 2, done)


def outcome(name: str, values: list[float], detector: str = "atss", trials: tuple[float, ...] = ()) -> Outcome:
    (plan,) = (p for p in plans(SEEDS) if p.folder == PurePath("digits") / detector / name)
    run = Run("digits", detector, SETTINGS["digits"].datasets, 0, "test", 300, weights={"wrong_labels": 0.3, "wrong_boxes": 1.0})
    rows = [{"mAP": value, "AP50": 2 * value, "seconds": 60, "cpu_seconds": 50, "run": run.described()} for value in values]
    return Outcome(plan, dict(enumerate(rows)), trials)


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    one, other = [0.31, 0.25, 0.35], [0.20, 0.21, 0.22]
    found = difference(outcome("weights_by_head", one), outcome("all", other))
    expected = ttest_rel(one, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(one) - np.mean(other)) and found.pairs == 3


def test_tables_and_pictures_show_what_came_out() -> None:
    found = [
        outcome("all", [0.1, 0.2, 0.3]),
        outcome("weights_by_head", [0.3, 0.4, 0.5]),
        outcome("weights_by_data_set_swept", [0.2, 0.2, 0.2], trials=(0.1, 0.25)),
    ]
    made = parts(found)
    assert "| weights by data set and head, reasoned | 0.400 ± 0.100 | 0.800 | +0.200 (+0.200 to +0.200) |" in made["digits"]
    assert "**0.400 ± 0.100**" in made["summary"] and "3 seeds" in made["summary"]
    assert "wrong_labels: 0.3" in made["chosen"] and "0.100 to 0.250" in made["chosen"]
    assert made["crowns"] == made["ablation"] == "(Not run.)"
    (figure,) = figures(found).values()
    assert [list(trace.x) for trace in figure.data if trace.name.startswith("all")] == [[0.1, 0.2, 0.3], [pytest.approx(0.2)]]


def test_parts_go_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- study: summary -->\nold\n<!-- end -->\nafter\n")
    assert put(page, {"summary": "new | table"})
    assert page.read_text() == "before\n<!-- study: summary -->\nnew | table\n<!-- end -->\nafter\n"
    assert not put(page, {"summary": "new | table"})


def test_an_arm_with_a_missing_seed_is_left_out(tmp_path: Path) -> None:
    plan = next(plan for plan in plans(SEEDS) if plan.name == "all")
    for seed in range(SEEDS):
        assert outcomes([plan], tmp_path, SEEDS) == []
        folder = tmp_path / plan.folder / f"seed_{seed}"
        folder.mkdir(parents=True)
        (folder / RESULT).write_text(json.dumps({"mAP": 0.1 * seed}))
    assert outcomes([plan], tmp_path, SEEDS)[0].values() == pytest.approx([0, 0.1, 0.2])


def test_every_weight_of_the_study_is_one_that_its_detector_has() -> None:
    for setting in SETTINGS.values():
        for detector, weights in setting.reasoned.items():
            assert set(weights) == set(setting.others)
            assert all(tuple(by_address) == ADDRESSES[detector] for by_address in weights.values())

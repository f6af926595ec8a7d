"""The study of searches: what each asks for, what it finds, and its intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixtures.arms import TRIAL_SEED, Plan, plans
from mixtures.run import RESULT, Run, config_of
from mixtures.searches import SEARCHES, TRIALS, search_plans
from mixtures.searches_page import crossed, repeats_of, search_parts
from mixtures.settings import SETTINGS
from mixtures.statistics import Outcome
from scipy import stats

SEEDS, SWEEPS = 3, 2
LABELS, BOXES = ("wrong_labels", "roi_head.bbox_head.loss_cls"), ("wrong_boxes", "roi_head.bbox_head.loss_cls")


def quality(run: Run) -> float:
    """As in the study: labels of the one data set harm, those of the other help."""
    weights = run.weights or {}
    found = [next((w for address, w in weights.get(name, {}).items() if "loss_cls" in address), 1) for name, _ in (LABELS, BOXES)]
    drawn = (run.rates or (1, 1, 1))[-1]
    return 0.3 - 0.2 * found[0] + 0.1 * found[1] - 0.05 * drawn + run.seed % 7 / 1e4


def answered(plan: Plan, says: Callable[[Run], float] = quality) -> list[Run]:
    """All runs that a search asks for."""
    steps, runs = plan.steps(), []
    asked = next(steps)
    while True:
        runs += [run for _, run in asked]
        if asked[0][1].split == "test":
            return runs
        asked = steps.send([{"mAP": says(run)} for _, run in asked])


@pytest.mark.parametrize("plan", [p for p in search_plans(SEEDS, SWEEPS) if p.setting == "digits"], ids=lambda p: str(p.folder))
def test_nothing_is_chosen_on_the_test_split(plan: Plan) -> None:
    runs = answered(plan)
    assert len(runs) == plan.most and answered(plan) == runs  # started again, it asks for the same
    trials, tested = runs[:-SEEDS], runs[-SEEDS:]
    sweep = int(plan.name[-1])
    assert {(run.split, run.seed) for run in trials} == {("validation", TRIAL_SEED + sweep)}
    assert [(run.split, run.seed) for run in tested] == [("test", seed) for seed in range(SEEDS)]
    whole = SETTINGS[plan.setting].iterations
    fraction = getattr(SEARCHES[plan.name.partition("/")[0]], "fraction", 1)
    assert {run.iterations for run in trials} == {round(whole * fraction)} and {run.iterations for run in tested} == {whole}


def test_a_screening_finds_what_matters_and_the_others_their_best_trial() -> None:
    found = {
        plan.name.partition("/")[0]: answered(plan)
        for plan in search_plans(SEEDS, 1)
        if (plan.setting, plan.detector) == ("digits", "faster-rcnn")
    }
    assert set(found) == set(SEARCHES)
    chosen = found["screening"][-1].weights or {}
    assert {w for by in chosen.values() for w in by.values()} == {0.1, 1.0} and chosen[LABELS[0]][LABELS[1]] == 0.1
    assert sum(w == 0.1 for by in chosen.values() for w in by.values()) == 1
    assert found["screening_sampling"][-1].rates == (1.0, 1.0, 0.1)
    for kind in ("tpe", "random", "tune", "tune_sampling"):
        *trials, tested = found[kind][: -SEEDS + 1]
        best = max(trials, key=quality)
        assert (tested.weights, tested.rates) == (best.weights, best.rates)
    assert found["tpe"][0] != found["random"][TRIALS - 1]


def test_rates_become_a_sampler_of_the_config(tmp_path: Path) -> None:
    run = next(run for plan in search_plans(2, 1) if "sampling" in plan.name for run in answered(plan) if run.rates)
    sampler = config_of(run, tmp_path / "run", tmp_path).train_dataloader.sampler
    assert sampler == dict(type="SourceRateSampler", source_rates=list(run.rates or ()), infinite=True, seed=run.seed)


def test_an_interval_without_spread_of_the_search_is_that_of_the_seeds() -> None:
    seeds = np.array([0.1, 0.15, 0.12, 0.2])
    found = crossed(np.tile(seeds, (3, 1)))
    expected = stats.ttest_1samp(seeds, 0).confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((seeds.mean(), expected.low, expected.high))


def test_intervals_cover_the_mean_of_crossed_samples() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        rows, columns = rng.normal(0, 1, (3, 1)), rng.normal(0, 1, (1, 5))
        found = crossed(rows + columns + rng.normal(0, 0.5, (3, 5)))
        covered += found.low < 0 < found.high
    assert 0.92 < covered / 1000 < 0.99


def test_the_page_has_finished_searches_only(tmp_path: Path) -> None:
    some = [plan for plan in search_plans(SEEDS, SWEEPS) if plan.folder.parts[:3] == ("digits", "faster-rcnn", "screening")]
    for plan in some:
        steps = plan.steps()
        asked = next(steps)
        while True:
            results: list[Any] = []
            for place, run in asked:
                (tmp_path / place).mkdir(parents=True, exist_ok=True)
                results.append({"run": run.described(), "mAP": quality(run), "pictures": 1200})
                (tmp_path / place / RESULT).write_text(json.dumps(results[-1]))
            if asked[0][1].split == "test":
                break
            asked = steps.send(results)
    found = repeats_of(search_plans(SEEDS, SWEEPS), tmp_path)
    # With results without noise, the screening that sets every weight may find the same.
    assert {"screening/0", "screening/1"} <= {repeat.plan.name for repeat in found}
    assert {repeat.kind for repeat in found} <= {"screening", "screening_levels", "tune"}
    baselines = [
        Outcome(plan, {seed: {"mAP": 0.1 + seed / 100, "pictures": 1200} for seed in range(SEEDS)}, ())
        for plan in plans(SEEDS)
        if (plan.setting, plan.detector) == ("digits", "faster-rcnn") and plan.name in ("all", "weights_by_head")
    ]
    made = search_parts(found, baselines, SWEEPS)
    assert "| screening | 8 | 0.330 | 0.330, 0.330 | +0.220 (" in made["searches"]
    assert "**-0.180, -0.180**" in made["effects"] and "| spare column |" in made["effects"]
    assert search_parts(found, baselines, 3)["searches"] == "(Not run.)", "a repeat is missing"

"""The screening in a study: which trials it asks for, and what it makes of their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from support.tuning import tuned_config

from headweights.search import Design
from headweights.tune.planning.plan import LESS, Plan, make_plan
from headweights.tune.studies.screening import (
    FOUND,
    LEVELS,
    SCREENING,
    begin_screening,
    can_run_more,
    enqueue_found,
    is_screening,
    is_short,
    screened,
    screening_in_words,
)
from headweights.tune.studies.study import KIND, UNWEIGHTED, begin

CLS, BOX = "roi_head.bbox_head.loss_cls", "roi_head.bbox_head.loss_bbox"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    config = tuned_config(tmp_path_factory.mktemp("screening"))
    heads = ["rpn_head.loss_cls", "rpn_head.loss_bbox", CLS, BOX]
    return make_plan(config, target="real", heads=heads)


@pytest.fixture
def study(plan: Plan, tmp_path: Path) -> optuna.Study:
    return begun(plan, tmp_path)


def begun(plan: Plan, folder: Path, runs_more: bool = False) -> optuna.Study:
    study = begin(plan, optuna.storages.InMemoryStorage(), "study", folder)
    begin_screening(plan, study, runs_more)
    return study


def value(parameters: Mapping[str, float]) -> float:
    """Less of one weight is better; the others do nothing, but for a little noise."""
    noise = sum(level * number for number, level in enumerate(parameters.values())) % 0.01
    return 0.5 - 0.2 * parameters[f"rendered: {CLS}"] + noise


def train(plan: Plan, study: optuna.Study, of: Callable[[Mapping[str, float]], float] = value) -> optuna.trial.FrozenTrial:
    trial = study.ask()
    parameters = {name: trial.suggest_float(name, *plan.space.range, log=True) for name in plan.space.parameters}
    if is_short(plan, trial):
        trial.report(of(parameters) / 2, 1)
        return study.tell(trial, state=TrialState.PRUNED)
    return study.tell(trial, of(parameters))


def waiting(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=(TrialState.WAITING,))


def test_the_queue_has_the_whole_design_once(plan: Plan, study: optuna.Study) -> None:
    first, *others = waiting(study)
    assert first.user_attrs == {KIND: UNWEIGHTED} and {trial.user_attrs[KIND] for trial in others} == {SCREENING}
    runs = [trial.system_attrs["fixed_params"] for trial in (first, *others)]
    design = Design(plan.space.factors).runs
    assert len(runs) == len(design) == 8 and all(run in runs for run in design)
    assert all(is_screening(plan, study, run) for run in design)
    assert not is_screening(replace(plan, screening=False), study, design[0])
    assert not is_screening(plan, study, dict.fromkeys(design[0], 0.5))
    begin_screening(plan, study, False)
    assert len(waiting(study)) == 8


def test_when_all_are_trained_it_says_what_matters(plan: Plan, study: optuna.Study) -> None:
    for number in range(8):
        state = screened(plan, study)
        assert (state.finished, state.effects, state.found, state.without_effect) == (number, None, {}, [])
        assert "8 trainings, so it cannot say yet" in next(screening_in_words(plan, study, "mAP"))
        train(plan, study)
    state = screened(plan, study)
    assert state.is_finished and state.effects is not None and state.failed == 0
    best = {name: 0.1 if CLS in name else 1.0 for name in plan.space.parameters}
    assert state.found[FOUND] == best and len(state.without_effect) == 3
    assert state.found[LEVELS] == {name: 0.1 if effect.size < 0 else 1.0 for name, effect in state.effects.by_name.items()}
    said = " ".join(screening_in_words(plan, study, "mAP"))
    assert "What 8 trainings say of mAP:" in said and f"rendered: {CLS}: 0.1 instead of 1 gains 0.17" in said
    assert enqueue_found(plan, study, state.found) and not enqueue_found(plan, study, state.found)
    found, *levels = waiting(study)
    assert found.system_attrs["fixed_params"] == best and found.user_attrs == {KIND: FOUND}
    assert [trial.user_attrs for trial in levels] in ([], [{KIND: LEVELS}])  # the screening may have trained it


def test_a_trial_in_training_is_waited_for_and_a_failed_one_counts_as_the_worst(plan: Plan, study: optuna.Study) -> None:
    running = study.ask()
    for _ in range(7):
        train(plan, study)
    assert screened(plan, study).finished == 7
    study.tell(running, state=TrialState.FAIL)
    state = screened(plan, study)
    assert state.is_finished and state.failed == 1 and state.effects is not None
    assert sorted(state.effects.results)[0] == sorted(state.effects.results)[1]
    assert "1 trainings of the screening failed" in " ".join(screening_in_words(plan, study, "mAP"))


def test_if_all_fail_there_are_no_effects(plan: Plan, study: optuna.Study) -> None:
    while waiting(study):
        study.tell(study.ask(), state=TrialState.FAIL)
    state = screened(plan, study)
    assert state.is_finished and state.effects is None and state.failed == 8


def test_where_less_is_better(plan: Plan, tmp_path: Path) -> None:
    plan = replace(plan, rule=LESS)
    study = begun(plan, tmp_path)
    while waiting(study):
        train(plan, study, lambda parameters: -value(parameters))
    state = screened(plan, study)
    assert state.found[FOUND] == {name: 0.1 if CLS in name else 1.0 for name in plan.space.parameters}
    assert "of which less is better" in " ".join(screening_in_words(plan, study, "loss"))


def test_where_nothing_matters_it_says_so(plan: Plan, study: optuna.Study) -> None:
    while waiting(study):
        train(plan, study, lambda _: 0.25)
    state = screened(plan, study)
    assert state.found[FOUND] == plan.space.unweighted and len(state.without_effect) == 4
    assert "so the search ends with every weight at its better level" in " ".join(screening_in_words(plan, study, "mAP"))


def test_more_runs_can_be_asked_for_later(plan: Plan, tmp_path: Path) -> None:
    plan = replace(plan, space=replace(plan.space, sampled=True))
    study = begun(plan, tmp_path)
    assert can_run_more(plan, study)
    while waiting(study):
        train(plan, study)
    begin_screening(plan, study, True)
    assert len(waiting(study)) == 8 and screened(plan, study).finished == 8 and not can_run_more(plan, study)
    while waiting(study):
        train(plan, study)
    begin_screening(plan, study, False)  # the study stays folded over
    state = screened(plan, study)
    assert state.runs == 16 and state.effects is not None and not waiting(study)


def test_with_few_weights_there_are_no_more_runs(plan: Plan, study: optuna.Study) -> None:
    assert not can_run_more(plan, study)
    begin_screening(plan, study, True)
    assert len(waiting(study)) == 8


def test_short_trainings_stand_apart(plan: Plan, tmp_path: Path) -> None:
    plan = replace(plan, fraction=0.5)
    study = begun(plan, tmp_path)
    assert len(waiting(study)) == 9  # the unweighted detector is trained at full length too
    trials = [train(plan, study) for _ in range(9)]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, *[TrialState.PRUNED] * 8]
    state = screened(plan, study)
    assert state.effects is not None and max(state.effects.results) < 0.3
    assert study.best_trial.user_attrs[KIND] == UNWEIGHTED
    assert "What 8 trainings of 0.5 of the length say" in " ".join(screening_in_words(plan, study, "mAP"))
    assert enqueue_found(plan, study, state.found)  # whether or not a short training had these weights

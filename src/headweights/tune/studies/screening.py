"""The screening at the beginning of a search: its trials, which stand in the study like all others, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from headweights.search import Design, Effects
from headweights.search.screen import in_words
from headweights.tune.planning.plan import GREATER, Plan
from headweights.tune.studies.study import KIND

# Kinds of trials.
SCREENING = "screening"
FOUND, LEVELS = "found by the screening", "every weight at its better level"
# User attribute of the study: whether its screening is folded over.
_FOLD_OVER = "fold-over"
_PENDING = (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True)
class Screened:
    """The state of a study's screening.

    Args:
        runs: The number of its trainings.
        finished: How many of them are finished.
        effects: What each parameter does, once all are finished and one succeeded. Else None.
        failed: How many failed. They count as the worst of the others.
    """

    runs: int
    finished: int
    effects: Effects | None
    failed: int

    @property
    def is_finished(self) -> bool:
        """Whether no training is left."""
        return self.finished == self.runs

    @property
    def found(self) -> dict[str, dict[str, float]]:
        """What to train, by kind: the better level of every parameter that matters and 1 for the others, or that of each one."""
        return {FOUND: self.effects.best(), LEVELS: self.effects.best(otherwise=None)} if self.effects else {}

    @property
    def without_effect(self) -> list[str]:
        """The parameters whose effect is within noise."""
        return [name for name, effect in self.effects.by_name.items() if not effect.matters] if self.effects else []


def begin_screening(plan: Plan, study: optuna.Study, runs_more: bool) -> None:
    """Puts the trainings of the screening that the study does not have into its queue.

    Args:
        plan: The search.
        study: The study.
        runs_more: Whether to fold the design over, if that adds trainings. A study whose design was folded over once stays so.
    """
    if runs_more and can_run_more(plan, study):
        study.set_user_attr(_FOLD_OVER, True)
    trials = study.get_trials(deepcopy=False)
    for run in _design(plan, study).runs:
        if not _trials_of(plan, trials, run):
            study.enqueue_trial(run, user_attrs={KIND: SCREENING})


def can_run_more(plan: Plan, study: optuna.Study) -> bool:
    """Whether a fold-over adds trainings: it was not done, and the design has not all levels swapped already."""
    runs = _design(plan, study).runs
    return any(run not in runs for run in Design(plan.space.factors, fold_over=True).runs)


def screened(plan: Plan, study: optuna.Study) -> Screened:
    """Reads the state of the screening from the study."""
    design, trials = _design(plan, study), study.get_trials(deepcopy=False)
    runs = design.runs
    outcomes = [_outcome(_trials_of(plan, trials, run)) for run in runs]
    finished = [outcome for outcome in outcomes if outcome is not None]
    values = [value for value in finished if isinstance(value, float)]
    effects = None
    if len(finished) == len(outcomes) and values:
        sign = 1 if plan.rule == GREATER else -1
        worst = min(sign * value for value in values)
        effects = Effects(design, [sign * outcome if isinstance(outcome, float) else worst for outcome in finished])
    return Screened(len(outcomes), len(finished), effects, len(finished) - len(values))


def enqueue_found(plan: Plan, study: optuna.Study, found: Mapping[str, Mapping[str, float]]) -> bool:
    """Puts what the screening found into the queue. Returns whether there is some that the study has not at full length."""
    known = [_parameters(trial) for trial in study.get_trials(deepcopy=False) if not is_short(plan, trial)]
    new = {kind: dict(parameters) for kind, parameters in found.items() if parameters not in known}
    for kind, parameters in new.items():
        study.enqueue_trial(parameters, user_attrs={KIND: kind}, skip_if_exists=plan.fraction == 1)
    return bool(new)


def is_screening(plan: Plan, study: optuna.Study, parameters: Mapping[str, float]) -> bool:
    """Whether the screening has a training with these parameters."""
    return plan.screening and dict(parameters) in _design(plan, study).runs


def is_short(plan: Plan, trial: optuna.Trial | FrozenTrial) -> bool:
    """Whether the training of a trial is a fraction of the config's. Its value is not comparable with that of other trials."""
    return plan.fraction < 1 and trial.user_attrs.get(KIND) == SCREENING


def screening_in_words(plan: Plan, study: optuna.Study, metric: str) -> Iterator[str]:
    """Sentences that say what the screening found, or what it lacks."""
    state, more = screened(plan, study), can_run_more(plan, study)
    if not state.is_finished:
        yield (
            f"The screening has {state.finished} of {state.runs} trainings, so it cannot say yet what each weight does. Run the "
            "same command again, with more --trials."
        )
    if state.failed:
        yield f"{state.failed} trainings of the screening failed; each counts as the worst of the others."
    if state.effects is None:
        return
    better = "" if plan.rule == GREATER else ", of which less is better"
    yield f"What {state.runs} trainings{_length_in_words(plan)} say of {metric}{better}:"
    yield from in_words(state.effects)
    if len(state.without_effect) == len(plan.space.parameters):
        yield (
            "No weight makes a difference that can be told from noise, so the search ends with every weight at its better level. "
            + ("--runs-more doubles the screening. " if more else "")
            + "--no-screening searches all weights nevertheless."
        )
    elif more and any(state.effects.doubts(name) for name in plan.space.parameters if name not in state.without_effect):
        yield "The fold-over is --runs-more."


def _length_in_words(plan: Plan) -> str:
    return "" if plan.fraction == 1 else f" of {plan.fraction:g} of the length"


def _design(plan: Plan, study: optuna.Study) -> Design:
    return Design(plan.space.factors, bool(study.user_attrs.get(_FOLD_OVER)))


def _trials_of(plan: Plan, trials: Sequence[FrozenTrial], run: Mapping[str, float]) -> list[FrozenTrial]:
    """The trials of a training of the screening. At full length, the unweighted detector may be one of them."""
    return [trial for trial in trials if _parameters(trial) == run and (plan.fraction == 1 or is_short(plan, trial))]


def _parameters(trial: FrozenTrial) -> Mapping[str, float]:
    given: Mapping[str, float] = trial.system_attrs.get("fixed_params") or trial.params
    return given


def _outcome(trials: list[FrozenTrial]) -> float | str | None:
    """The value of a training; why it has none; or None if it is not finished."""
    for trial in trials:
        # A short training has the state of one that was stopped early.
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.value is not None:
            return float(trial.value)
    return None if not trials or any(trial.state in _PENDING for trial in trials) else "failed"

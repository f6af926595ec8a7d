"""The arms that compare searches for weights: how good are the weights that each finds, with the same few trainings?

Each search is repeated with several seeds. A seed of a search determines its random draws and the training data of its trials,
which are evaluated on the validation split only. What it finds is trained with the seeds of all arms and evaluated on the test
split. A run's folder is named after its settings, so searches that ask for the same run share it.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from headweights.search import Design, Effects, Factor
from mixtures.arms import HIGH, LOW, TRIAL_SEED, Answered, Arm, Asked, Plan, common
from mixtures.run import Run
from mixtures.settings import ADDRESSES, SETTINGS, Setting

# How many seeds each search is repeated with.
SWEEPS = 3
TRIALS = 8
DRAWN = "drawn"
LEVELS = 0.1, 1.0
SCREENING, LEVELLED, TPE, RANDOM, SAMPLED, HALF, QUARTER = (
    "screening",
    "screening_levels",
    "tpe",
    "random",
    "screening_sampling",
    "screening_half",
    "screening_quarter",
)
TITLES = {
    SCREENING: "screening",
    LEVELLED: "screening, every weight at its better level",
    HALF: "screening, trainings of half the length",
    QUARTER: "screening, trainings of a quarter of the length",
    SAMPLED: "screening of weights and sampling",
    TPE: "TPE",
    RANDOM: "random",
}

# A value for each factor, by "<data set>: <address>", or "<data set>: drawn" for how often its images are drawn.
Values = Mapping[str, float]
Search = Generator[Asked, Answered, Values]


def search_plans(seeds: int, sweeps: int = SWEEPS) -> list[Plan]:
    """The arms of all searches, in order of priority: one for each search and seed of it."""
    kinds = ((SCREENING, LEVELLED), (TPE,), (HALF,), (RANDOM,), (SAMPLED,), (QUARTER,))
    return [
        _plan(kind, SETTINGS[name], name, detector, sweep, seeds)
        for name in ("digits", "crowns")
        for group in kinds
        for detector in ADDRESSES
        for sweep in range(sweeps)
        for kind in group
    ]


def _plan(kind: str, setting: Setting, name: str, detector: str, sweep: int, seeds: int) -> Plan:
    place = PurePath(name) / detector / "searches"

    def ask(run: Run) -> tuple[PurePath, Run]:
        digest = hashlib.sha256(json.dumps(run.described(), sort_keys=True).encode()).hexdigest()[:12]
        return place / digest, run

    def run(values: Values, **differing: Any) -> Run:
        return Run(**{**common(setting, name, detector), **_settings(setting, values), **differing})

    def trial(values: Values, fraction: float = 1.0) -> tuple[PurePath, Run]:
        iterations = round(setting.iterations * fraction)
        return ask(run(values, seed=TRIAL_SEED + sweep, split="validation", iterations=iterations))

    def steps() -> Arm:
        found = yield from _SEARCHES[kind](_factors(setting, detector, kind == SAMPLED), trial, sweep)
        yield [ask(run(found, seed=seed)) for seed in range(seeds)]

    factors = _factors(setting, detector, kind == SAMPLED)
    trials = TRIALS if kind in (TPE, RANDOM) else len(Design(factors).runs)
    return Plan(f"{kind}/{sweep}", TITLES[kind], name, detector, steps, trials + seeds)


def _factors(setting: Setting, detector: str, sampled: bool) -> list[Factor]:
    addresses = (*ADDRESSES[detector], *([DRAWN] if sampled else []))
    return [Factor(f"{name}: {address}", *LEVELS) for name in setting.others for address in addresses]


def _settings(setting: Setting, values: Values) -> dict[str, Any]:
    """The fields of `Run` for the values of the factors."""
    weights: dict[str, dict[str, float]] = {name: {} for name in setting.others}
    rates = dict.fromkeys(setting.datasets, 1.0)
    for factor, value in values.items():
        name, _, address = factor.partition(": ")
        if address == DRAWN:
            rates[name] = value
        else:
            weights[name][address] = value
    return {"weights": weights, "rates": None if set(rates.values()) == {1.0} else tuple(rates.values())}


def _screening(otherwise: float | None = 1.0, fraction: float = 1.0) -> Callable[..., Search]:
    """A search by a screening; the runs take a fraction of the usual iterations."""

    def search(factors: Sequence[Factor], trial: Callable[..., Any], sweep: int) -> Search:
        design = Design(factors)
        results = yield [trial(run, fraction) for run in design.runs]
        return Effects(design, [result["mAP"] for result in results]).best(otherwise)

    return search


def _sampler(made: Callable[[int], BaseSampler]) -> Callable[..., Search]:
    """A search by one of Optuna's samplers, which knows nothing in the beginning. The best trial is what it finds."""

    def search(factors: Sequence[Factor], trial: Callable[..., Any], sweep: int) -> Search:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=made(sweep))
        tried: list[Values] = []
        for _ in range(TRIALS):
            drawn = study.ask()
            tried.append({f.name: round(drawn.suggest_float(f.name, LOW, HIGH, log=True), 4) for f in factors})
            (result,) = yield [trial(tried[-1])]
            study.tell(drawn, result["mAP"])
        return tried[study.best_trial.number]

    return search


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features of Optuna
        return TPESampler(n_startup_trials=3, multivariate=True, seed=seed)


_SEARCHES = {
    SCREENING: _screening(),
    LEVELLED: _screening(otherwise=None),
    HALF: _screening(fraction=0.5),
    QUARTER: _screening(fraction=0.25),
    SAMPLED: _screening(),
    TPE: _sampler(_tpe),
    RANDOM: _sampler(lambda seed: RandomSampler(seed=seed)),
}

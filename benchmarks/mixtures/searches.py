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
from dataclasses import dataclass
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
# A value for each factor, by "<data set>: <address>", or "<data set>: drawn" for how often its images are drawn.
Values = Mapping[str, float]
Found = Generator[Asked, Answered, Values]
# Requests a trial with these values, of a fraction of the usual length.
Trial = Callable[[Values, float], tuple[PurePath, Run]]


@dataclass(frozen=True)
class Screened:
    """A search by a screening.

    Args:
        title: Its name in tables.
        otherwise: The value of factors that do not matter. None: their better level.
        fraction: The length of its trainings, as a fraction of the usual one.
        sampled: Whether it is a factor, too, how often the images of a data set are drawn.
    """

    title: str
    otherwise: float | None = 1.0
    fraction: float = 1.0
    sampled: bool = False

    def trials(self, factors: Sequence[Factor]) -> int:
        """The number of its trials."""
        return len(Design(factors).runs)

    def effects(self, factors: Sequence[Factor], results: Answered) -> Effects:
        """The effects of the factors."""
        return Effects(Design(factors), [result["mAP"] for result in results])

    def steps(self, factors: Sequence[Factor], trial: Trial, sweep: int) -> Found:
        """Requests the trials and returns what it finds."""
        results = yield [trial(run, self.fraction) for run in Design(factors).runs]
        return self.effects(factors, results).best(self.otherwise)


@dataclass(frozen=True)
class Compared(Screened):
    """What `headweights tune` does with three trials more than its screening: the best of all trials is what it finds."""

    def trials(self, factors: Sequence[Factor]) -> int:
        """The number of its trials: the screening, both blocks that follow from it, and the unweighted detector."""
        return super().trials(factors) + 3

    def steps(self, factors: Sequence[Factor], trial: Trial, sweep: int) -> Found:
        """Requests the trials and returns the best one."""
        tried: list[Values] = [*Design(factors).runs]
        results = yield [trial(run, self.fraction) for run in tried]
        effects = self.effects(factors, results)
        blocks = [dict.fromkeys(effects.by_name, 1.0), effects.best(), effects.best(otherwise=None)]
        more = yield [trial(block, 1.0) for block in blocks]
        found = zip([*tried, *blocks], [*results, *more])
        return max(found, key=lambda one: one[1]["mAP"])[0]


@dataclass(frozen=True)
class Sampled:
    """A search by one of Optuna's samplers, which knows nothing in the beginning. The best trial is what it finds.

    Args:
        title: Its name in tables.
        sampler: Makes the sampler, given a seed.
    """

    title: str
    sampler: Callable[[int], BaseSampler]
    sampled: bool = False

    def trials(self, factors: Sequence[Factor]) -> int:
        """The number of its trials."""
        return TRIALS

    def steps(self, factors: Sequence[Factor], trial: Trial, sweep: int) -> Found:
        """Requests the trials, one after the other, and returns what it finds."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=self.sampler(sweep))
        tried: list[Values] = []
        for _ in range(TRIALS):
            drawn = study.ask()
            tried.append({f.name: round(drawn.suggest_float(f.name, LOW, HIGH, log=True), 4) for f in factors})
            (result,) = yield [trial(tried[-1], 1.0)]
            study.tell(drawn, result["mAP"])
        return tried[study.best_trial.number]


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features of Optuna
        return TPESampler(n_startup_trials=3, multivariate=True, seed=seed)


SEARCHES: Mapping[str, Screened | Sampled] = {
    "screening": Screened("screening"),
    "screening_levels": Screened("screening, every weight at its better level", otherwise=None),
    "screening_half": Screened("screening, trainings of half the length", fraction=0.5),
    "screening_half_levels": Screened("screening, half the length, every better level", otherwise=None, fraction=0.5),
    "screening_quarter": Screened("screening, trainings of a quarter of the length", fraction=0.25),
    "screening_sampling": Screened("screening of weights and sampling", sampled=True),
    "screening_sampling_levels": Screened("screening of weights and sampling, every better level", otherwise=None, sampled=True),
    "tune": Compared("`headweights tune`: the best of the screening's trainings and both blocks"),
    "tune_sampling": Compared("`headweights tune --sampling`, the same", sampled=True),
    "tpe": Sampled("TPE", _tpe),
    "random": Sampled("random draws", lambda seed: RandomSampler(seed=seed)),
}
# Those that share their trials stand together.
_ORDER = (
    ("screening", "screening_levels", "tune"),
    ("tpe",),
    ("random",),
    ("screening_sampling", "screening_sampling_levels", "tune_sampling"),
    ("screening_half", "screening_half_levels", "screening_quarter"),
)


def search_plans(seeds: int, sweeps: int = SWEEPS) -> list[Plan]:
    """The arms of all searches, in order of priority: one for each search and seed of it."""
    return [
        _plan(kind, name, detector, sweep, seeds)
        for name in ("digits", "crowns")
        for group in _ORDER
        for detector in ADDRESSES
        for sweep in range(sweeps)
        for kind in group
    ]


def factors_of(setting: Setting, detector: str, sampled: bool = False) -> list[Factor]:
    """The factors of a search: the weight of each data set but the target at each address, and how often it is drawn."""
    addresses = (*ADDRESSES[detector], *([DRAWN] if sampled else []))
    return [Factor(f"{name}: {address}", *LEVELS) for name in setting.others for address in addresses]


def _plan(kind: str, name: str, detector: str, sweep: int, seeds: int) -> Plan:
    setting, search = SETTINGS[name], SEARCHES[kind]
    factors = factors_of(setting, detector, search.sampled)

    def ask(run: Run) -> tuple[PurePath, Run]:
        digest = hashlib.sha256(json.dumps(run.described(), sort_keys=True).encode()).hexdigest()[:12]
        return PurePath(name) / detector / "searches" / digest, run

    def run(values: Values, **differing: Any) -> Run:
        return Run(**{**common(setting, name, detector), **_settings(setting, values), **differing})

    def trial(values: Values, fraction: float) -> tuple[PurePath, Run]:
        iterations = round(setting.iterations * fraction)
        return ask(run(values, seed=TRIAL_SEED + sweep, split="validation", iterations=iterations))

    def steps() -> Arm:
        found = yield from search.steps(factors, trial, sweep)
        yield [ask(run(found, seed=seed)) for seed in range(seeds)]

    return Plan(f"{kind}/{sweep}", search.title, name, detector, steps, search.trials(factors) + seeds)


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

"""The arms of the study: for each setting and detector, different ways to use the same mix.

An arm requests runs, receives their results, and may request more, since a sweep chooses its next trial by earlier results.
Trials have their own seed (other training data and initial parameters) and are evaluated only on the validation split. The
best one is then trained with the seeds of all arms and evaluated on the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import optuna

from mixtures.run import Run
from mixtures.settings import ADDRESSES, PRETRAININGS, SETTINGS, START, Setting, Weights

# The batch size, which a sampling ratio divides among the data sets.
BATCH = 8
TRIAL_SEED = 100
# The arms without a sweep.
FIXED = ("target_only", "all", "weights_by_head")
LOW, HIGH = 0.03, 3.0

Asked = list[tuple[PurePath, Run]]
Answered = list[Mapping[str, Any]]
Arm = Generator[Asked, Answered, None]


@dataclass(frozen=True)
class Plan:
    """An arm of the study.

    Args:
        name: Its folder, below setting and detector.
        title: Its name in tables.
        setting, detector: Its setting and detector.
        steps: Starts the arm: a generator that yields the runs it requests and is sent their results.
        most: The total number of runs that it requests.
        ablation: Whether it tests wrong weights.
    """

    name: str
    title: str
    setting: str
    detector: str
    steps: Callable[[], Arm]
    most: int
    ablation: bool = False

    @property
    def folder(self) -> PurePath:
        """The folder of its runs, relative to that of the study."""
        return PurePath(self.setting) / self.detector / self.name


def pretrainings() -> list[Plan]:
    """The trainings that the arms start from."""

    def plan(name: str, setting: Setting, detector: str) -> Plan:
        place = PurePath(name) / detector

        def steps() -> Arm:
            run = Run(name, detector, setting.datasets, seed=0, split="validation", iterations=setting.iterations)
            yield [(place / "seed_0", run)]

        return Plan("", setting.title, name, detector, steps, 1)

    return [plan(name, setting, detector) for name, setting in PRETRAININGS.items() for detector in ADDRESSES]


def plans(seeds: int) -> list[Plan]:
    """All arms, in order of priority."""
    two_stage, one_stage = ADDRESSES
    return [
        *_arms("digits", two_stage, seeds),
        *_arms("digits", one_stage, seeds),
        *_arms("crowns", two_stage, seeds),
        *_ablations("digits", two_stage, seeds),
        *_arms("crowns", one_stage, seeds),
        *(plan for plan in _arms("digits_40", two_stage, seeds) if plan.name in FIXED),
    ]


def _arms(name: str, detector: str, seeds: int) -> list[Plan]:
    setting = SETTINGS[name]

    def plan(folder: str, title: str, steps: Callable[[PurePath], Arm], most: int) -> Plan:
        place = PurePath(name) / detector / folder
        return Plan(folder, title, name, detector, lambda: steps(place), most)

    def run(**differing: Any) -> Run:
        return Run(**{**common(setting, name, detector), **differing})

    def fixed(folder: str, title: str, **differing: Any) -> Plan:
        return plan(folder, title, lambda place: tested(place, run(**differing), range(seeds)), seeds)

    def swept(
        folder: str,
        title: str,
        space: Callable[[optuna.Trial], dict[str, Any]],
        first: list[dict[str, Any]],
        beside: str | None = None,
        **added: Any,
    ) -> Plan:
        """A sweep. With `beside` it shares the trials of that sweep, and `added` is added to the best one."""

        def steps(place: PurePath) -> Arm:
            best = yield from _best(place.with_name(beside or folder) / "trials", run, space, first, setting.trials)
            yield from tested(place, _with(best, split="test", **added), range(seeds))

        return plan(folder, title, steps, seeds + setting.trials)

    sets, addresses = setting.others, ADDRESSES[detector]
    reasoned = setting.reasoned[detector]
    # A sweep by head starts with the unweighted and the reasoned weights.
    by_head = [{f"{s} {a}": 1.0 for s in sets for a in addresses}, {f"{s} {a}": reasoned[s][a] for s in sets for a in addresses}]
    found = [
        swept("weights_by_head_swept", "weights by data set and head, swept", lambda t: _by_head(t, sets, addresses), by_head),
        swept(
            "weights_by_data_set_swept", "one weight per data set, swept", lambda t: _by_data_set(t, sets), _by_set_first(sets)
        ),
        swept("sampling_swept", "sampling ratio, swept", lambda t: _sampling(t, sets), []),
        swept(
            "sampling_and_weights",
            "best sampling ratio and reasoned weights",
            lambda t: _sampling(t, sets),
            [],
            beside="sampling_swept",
            weights=reasoned,
        ),
        fixed("all", "all data sets, unweighted"),
        fixed("target_only", f"{setting.target} only", datasets=(setting.target,)),
        fixed("weights_by_head", "weights by data set and head, reasoned", weights=reasoned),
    ]
    if setting.by_object:
        found.append(fixed("weights_by_object", "weights by object, noise known", by_object=True))
    return found


def _ablations(name: str, detector: str, seeds: int) -> list[Plan]:
    """The reasoned weights with errors: all weights below 1 too large or too small by a factor, or each weight at random."""
    setting = SETTINGS[name]
    reasoned, shared = setting.reasoned[detector], common(setting, name, detector)

    def plan(folder: str, title: str, wrong: Callable[[Weights, int], Weights]) -> Plan:
        place = PurePath(name) / detector / folder

        def steps() -> Arm:
            yield [
                (place / f"seed_{seed}", Run(**{**shared, "seed": seed, "weights": wrong(reasoned, seed)}))
                for seed in range(seeds)
            ]

        return Plan(folder, title, name, detector, steps, seeds, ablation=True)

    # Times 10, all weights would be 1, as in the unweighted arm.
    return [
        plan("too_large_x3", "held back too little: times 3", _held_back(3)),
        plan("too_small_x3", "held back too much: divided by 3", _held_back(1 / 3)),
        plan("too_small_x10", "held back too much: divided by 10", _held_back(1 / 10)),
        plan("either_way_x3", "each weight times or divided by 3, at random", _either_way(3)),
        plan("either_way_x10", "each weight times or divided by 10, at random", _either_way(10)),
    ]


def common(setting: Setting, name: str, detector: str) -> dict[str, Any]:
    """The fields of `Run` that all tested runs of a setting and detector share."""
    return dict(
        setting=name,
        detector=detector,
        datasets=setting.datasets,
        seed=0,
        split="test",
        iterations=setting.iterations,
        start=START,
    )


def tested(place: PurePath, run: Run, seeds: Iterable[int]) -> Arm:
    """Requests a run with each of the seeds."""
    yield [(place / f"seed_{seed}", _with(run, seed=seed)) for seed in seeds]


def _best(
    trials_at: PurePath,
    run: Callable[..., Run],
    space: Callable[[optuna.Trial], dict[str, Any]],
    first: list[dict[str, Any]],
    trials: int,
) -> Generator[Asked, Answered, Run]:
    """Runs a sweep by Optuna, one trial after the other, and returns the best run.

    The Optuna study is not stored. Its sampler is seeded and the results of trials are in their folders, so a restarted sweep
    requests the same trials and receives the results of finished ones at once.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=max(trials // 2, 2))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for values in first[:trials]:
        study.enqueue_trial(values)
    asked: list[Run] = []
    for number in range(trials):
        trial = study.ask()
        asked.append(run(seed=TRIAL_SEED, split="validation", **space(trial)))
        (result,) = yield [(trials_at / f"{number:02}", asked[-1])]
        study.tell(trial, result["mAP"])
    return asked[study.best_trial.number]


def _with(run: Run, **differing: Any) -> Run:
    return Run(**{**vars(run), **differing})


def _weight(trial: optuna.Trial, name: str) -> float:
    return round(trial.suggest_float(name, LOW, HIGH, log=True), 4)


def _by_head(trial: optuna.Trial, sets: Sequence[str], addresses: Sequence[str]) -> dict[str, Any]:
    return {"weights": {s: {a: _weight(trial, f"{s} {a}") for a in addresses} for s in sets}}


def _by_data_set(trial: optuna.Trial, sets: Sequence[str]) -> dict[str, Any]:
    return {"weights": {s: _weight(trial, s) for s in sets}}


def _by_set_first(sets: Sequence[str]) -> list[dict[str, Any]]:
    return [dict.fromkeys(sets, 1.0), dict.fromkeys(sets, 0.3)]


def _sampling(trial: optuna.Trial, sets: Sequence[str]) -> dict[str, Any]:
    """The number of images of each data set in a batch, at least one."""
    target = trial.suggest_int("target", 1, BATCH - len(sets))
    if len(sets) == 1:
        return {"ratio": (target, BATCH - target)}
    share = trial.suggest_float("share of the first", 0.0, 1.0)
    left = BATCH - target
    one = min(max(round(share * left), 1), left - 1)
    return {"ratio": (target, one, left - one)}


def _held_back(factor: float) -> Callable[[Weights, int], Weights]:
    """Multiplies weights below 1 by a factor, up to 1."""

    def wrong(weights: Weights, seed: int) -> Weights:
        return {s: {a: min(w * factor, 1.0) if w < 1 else w for a, w in by.items()} for s, by in weights.items()}

    return wrong


def _either_way(factor: float) -> Callable[[Weights, int], Weights]:
    """Multiplies or divides each weight by a factor, at random by the seed."""

    def wrong(weights: Weights, seed: int) -> Weights:
        rng = np.random.default_rng(seed)
        return {s: {a: w * factor ** int(rng.choice((-1, 1))) for a, w in by.items()} for s, by in weights.items()}

    return wrong

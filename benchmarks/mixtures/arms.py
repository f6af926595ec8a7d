"""What is compared: for each setting and detector, ways to use the same mix.

An arm asks for runs, is given their results, and may ask for more: a sweep chooses its next trial by what came out of the last.
Trials look at the validation split only, and with a seed of their own (other training data, other initial parameters); what they
choose is then trained with the seeds of all arms and looked at on the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import optuna

from mixtures.run import Run
from mixtures.settings import ADDRESSES, PRETRAININGS, SETTINGS, START, Setting, Weights

# The pictures of a batch, of which a sampling ratio gives some to each data set.
BATCH = 8
TRIAL_SEED = 100
# The arms that choose nothing.
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
        title: What tables call it.
        setting, detector: What it is an arm of.
        steps: Starts the arm: a generator of the runs it asks for, which is sent their results.
        most: How many runs it asks for in all.
        ablation: Whether it asks how wrong weights may be, instead of how good they are.
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
        """Where its runs are, below the folder of the study."""
        return PurePath(self.setting) / self.detector / self.name


def pretrainings() -> list[Plan]:
    """What the arms start from."""

    def plan(name: str, setting: Setting, detector: str) -> Plan:
        place = PurePath(name) / detector

        def steps() -> Arm:
            run = Run(name, detector, setting.datasets, seed=0, split="validation", iterations=setting.iterations)
            yield [(place / "seed_0", run)]

        return Plan("", setting.title, name, detector, steps, 1)

    return [plan(name, setting, detector) for name, setting in PRETRAININGS.items() for detector in ADDRESSES]


def plans(seeds: int) -> list[Plan]:
    """All arms, in the order in which they are wanted."""
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
        return Run(**{**_common(setting, name, detector), **differing})

    def fixed(folder: str, title: str, **differing: Any) -> Plan:
        return plan(folder, title, lambda place: _tested(place, run(**differing), seeds), seeds)

    def swept(
        folder: str,
        title: str,
        space: Callable[[optuna.Trial], dict[str, Any]],
        first: list[dict[str, Any]],
        beside: str | None = None,
        **added: Any,
    ) -> Plan:
        """A sweep; with `beside` the same trials as that one's, and `added` to what they choose."""

        def steps(place: PurePath) -> Arm:
            best = yield from _best(place.with_name(beside or folder) / "trials", run, space, first, setting.trials)
            yield from _tested(place, _with(best, split="test", **added), seeds)

        return plan(folder, title, steps, seeds + setting.trials)

    sets, addresses = setting.others, ADDRESSES[detector]
    reasoned = setting.reasoned[detector]
    # A sweep by head begins with what one would have tried without it.
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
    """The reasoned weights, wrong by a factor: all that hold something back too large or too small, or each weight either way."""
    setting = SETTINGS[name]
    reasoned, common = setting.reasoned[detector], _common(setting, name, detector)

    def plan(folder: str, title: str, wrong: Callable[[Weights, int], Weights]) -> Plan:
        place = PurePath(name) / detector / folder

        def steps() -> Arm:
            yield [
                (place / f"seed_{seed}", Run(**{**common, "seed": seed, "weights": wrong(reasoned, seed)}))
                for seed in range(seeds)
            ]

        return Plan(folder, title, name, detector, steps, seeds, ablation=True)

    # Held back ten times too little, all weights would be 1: that is the unweighted arm.
    return [
        plan("too_large_x3", "held back too little: times 3", _held_back(3)),
        plan("too_small_x3", "held back too much: divided by 3", _held_back(1 / 3)),
        plan("too_small_x10", "held back too much: divided by 10", _held_back(1 / 10)),
        plan("either_way_x3", "each weight times or divided by 3, at random", _either_way(3)),
        plan("either_way_x10", "each weight times or divided by 10, at random", _either_way(10)),
    ]


def _common(setting: Setting, name: str, detector: str) -> dict[str, Any]:
    return dict(
        setting=name,
        detector=detector,
        datasets=setting.datasets,
        seed=0,
        split="test",
        iterations=setting.iterations,
        start=START,
    )


def _tested(place: PurePath, run: Run, seeds: int) -> Arm:
    yield [(place / f"seed_{seed}", _with(run, seed=seed)) for seed in range(seeds)]


def _best(
    trials_at: PurePath,
    run: Callable[..., Run],
    space: Callable[[optuna.Trial], dict[str, Any]],
    first: list[dict[str, Any]],
    trials: int,
) -> Generator[Asked, Answered, Run]:
    """A sweep by Optuna, one trial after the other; returns the best.

    The study is kept nowhere: its sampler is seeded and the trials' results lie in their folders, so that a sweep that is started
    again asks for the same trials, and is told at once what those that were finished came to.
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
    """Pictures of each data set in a batch: one at least."""
    target = trial.suggest_int("target", 1, BATCH - len(sets))
    if len(sets) == 1:
        return {"ratio": (target, BATCH - target)}
    share = trial.suggest_float("share of the first", 0.0, 1.0)
    left = BATCH - target
    one = min(max(round(share * left), 1), left - 1)
    return {"ratio": (target, one, left - one)}


def _held_back(factor: float) -> Callable[[Weights, int], Weights]:
    """Weights below 1 times a factor, and 1 at most."""

    def wrong(weights: Weights, seed: int) -> Weights:
        return {s: {a: min(w * factor, 1.0) if w < 1 else w for a, w in by.items()} for s, by in weights.items()}

    return wrong


def _either_way(factor: float) -> Callable[[Weights, int], Weights]:
    """Every weight times or divided by a factor; which of them is drawn by the seed."""

    def wrong(weights: Weights, seed: int) -> Weights:
        rng = np.random.default_rng(seed)
        return {s: {a: w * factor ** int(rng.choice((-1, 1))) for a, w in by.items()} for s, by in weights.items()}

    return wrong

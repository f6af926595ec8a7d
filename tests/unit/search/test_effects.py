"""Effects against models whose effects are known, and noise that is called noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headweights import WeightError
from headweights.search import Design, Effects, Factor, Screening, screen

NAMES = [f"{dataset}: {loss}" for dataset in ("wrong_labels", "wrong_boxes") for loss in ("rpn", "cls", "box")]
FACTORS = dict.fromkeys(NAMES, (0.1, 1.0))
LABELS, BOXES = "wrong_labels: cls", "wrong_boxes: cls"


def train(weights: dict[str, float]) -> float:
    """A result of which labels cost 0.18 from low to high, and boxes gain 0.09."""
    return 0.4 - 0.2 * (weights[LABELS] - 0.1) + 0.1 * (weights[BOXES] - 0.1)


def test_the_effects_are_those_of_the_model() -> None:
    found = screen(train, FACTORS)
    sizes = {name: effect.size for name, effect in found.effects.by_name.items()}
    assert sizes == pytest.approx({**dict.fromkeys(NAMES, 0.0), LABELS: -0.18, BOXES: 0.09})
    assert list(sizes)[:2] == [LABELS, BOXES], "the largest first"
    assert [name for name, effect in found.effects.by_name.items() if effect.matters] == [LABELS, BOXES]


def test_what_does_not_matter_keeps_weight_1() -> None:
    factors = {**FACTORS, "wrong_boxes: box": (0.03, 3.0)}
    assert screen(train, factors).best == {**dict.fromkeys(NAMES, 1.0), LABELS: 0.1}
    better = screen(train, factors, otherwise=None).best
    assert better[LABELS] == 0.1 and better[BOXES] == 1.0
    assert better["wrong_boxes: box"] in (0.03, 3.0)


def noisy(seed: int, factors: int, effects: dict[int, float]) -> Effects:
    design = Design([Factor(f"factor {number}") for number in range(factors)])
    results = np.random.default_rng(seed).normal(0, 1, len(design.signs))
    for number, size in effects.items():
        results += design.signs[:, number] * size / 2
    return Effects(design, list(results))


def test_noise_is_seldom_called_an_effect_and_effects_are_found() -> None:
    alarms = [sum(effect.matters for effect in noisy(seed, 10, {}).by_name.values()) / 10 for seed in range(300)]
    assert np.mean(alarms) < 0.08  # 0.05, up to chance and the estimate of the noise
    found = [noisy(seed, 10, {0: 5.0, 3: -5.0}).by_name for seed in range(300)]
    hits = [effects["factor 0"].matters and effects["factor 3"].matters for effects in found]
    assert np.mean(hits) > 0.9


def test_words_say_what_matters_which_way_and_what_is_noise() -> None:
    said = str(screen(train, FACTORS))
    first, second, third, fourth = said.splitlines()
    assert first == f"{LABELS}: 0.1 instead of 1 gains 0.18."
    assert second == f"{BOXES}: 1 instead of 0.1 gains 0.09."
    assert third.startswith("Everything else is within noise: ")
    assert fourth.startswith("An effect up to ") and "columns that nothing was set by read" in fourth


def test_an_interaction_is_named_where_it_looks_like_an_effect_that_matters() -> None:
    third = NAMES[0]
    one, other = next(iter(Design([Factor(name) for name in NAMES]).mixed_with(third)))

    def interacting(weights: dict[str, float]) -> float:
        low = [weights[name] < 0.5 for name in (one, other)]
        noise = 1e-3 * np.random.default_rng([int(10 * weight) for weight in weights.values()]).normal()
        return 0.3 - 0.2 * low[0] - 0.2 * low[1] + 0.1 * (low[0] == low[1]) + noise

    found = screen(interacting, FACTORS)
    assert found.effects.by_name[third].matters, "by its name alone"
    assert f"If {one} and {other} act differently together than alone, a part of the effect of {third} is theirs" in str(found)
    separated = screen(interacting, FACTORS, fold_over=True)
    assert not separated.effects.by_name[third].matters
    assert "together" not in str(separated)


def test_an_interaction_in_a_spare_column_is_named() -> None:
    one, other = next(iter(Design([Factor(name) for name in NAMES]).mixed_with_spare(0)))

    def interacting(weights: dict[str, float]) -> float:
        low = [weights[name] < 0.5 for name in (one, other)]
        noise = 1e-3 * np.random.default_rng([int(10 * weight) for weight in weights.values()]).normal()
        return 0.3 - 0.2 * low[0] - 0.2 * low[1] + 0.1 * (low[0] == low[1]) + noise

    found = screen(interacting, FACTORS)
    ((size, pairs),) = found.effects.together().items()
    assert abs(size) == pytest.approx(0.1, abs=0.01) and pairs == [(one, other)]
    assert f"is more than noise: {one} and {other} act differently together than alone." in str(found)
    assert not screen(train, FACTORS).effects.together()


def test_the_table_has_the_factors_and_the_spare_columns() -> None:
    table = screen(train, FACTORS).table()
    names = list(table.columns[0].cells)
    assert sorted(names[:6]) == sorted(NAMES)
    assert names[6:] == ["spare column 1"]
    assert next(iter(table.columns[3].cells)) == "-0.18"


@given(st.lists(st.floats(allow_nan=True), max_size=9))
def test_results_that_are_missing_or_no_numbers(results: list[float]) -> None:
    design = Design([Factor("a"), Factor("b"), Factor("c")])
    if len(results) == 8 and np.isfinite(results).all():
        Effects(design, results)
    else:
        with pytest.raises(WeightError, match="a screening of 8 runs needs 8 finite results"):
            Effects(design, results)


def test_a_screening_that_runs_elsewhere() -> None:
    design = Design([Factor(name) for name in NAMES])
    results = {number: train(run) for number, run in reversed(list(enumerate(design.runs)))}
    effects = Effects(design, [results[number] for number in range(len(results))])
    assert Screening(effects, effects.best()).best == screen(train, FACTORS).best

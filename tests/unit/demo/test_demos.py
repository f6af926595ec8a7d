"""What a demo says of the study is what the study found."""

import json
from pathlib import Path

import pytest
from scipy.stats import ttest_rel

from headweights.demo.command import NEEDED, Mix
from headweights.demo.demos import DEMOS, Finding

STUDY = Path(__file__).resolve().parents[3] / "docs" / "study.json"


def by_seed(arm: str) -> dict[int, float]:
    return {row["run"]["seed"]: row["mAP"] for row in json.loads(STUDY.read_text()) if row["arm"] == arm}


@pytest.mark.parametrize("name", DEMOS)
def test_the_finding_is_that_of_the_study(name: str) -> None:
    weighted, unweighted = (by_seed(f"{name}/faster-rcnn/{arm}") for arm in ("weights_by_head", "all"))
    seeds = sorted(weighted)
    assert seeds == sorted(unweighted)
    pairs = [(weighted[seed], unweighted[seed]) for seed in seeds]
    interval = ttest_rel(*zip(*pairs)).confidence_interval(0.95)
    finding = DEMOS[name].finding
    assert finding.seeds == len(seeds)
    assert finding.better == sum(one > other for one, other in pairs)
    mean = sum(one - other for one, other in pairs) / len(pairs)
    assert (finding.mean, finding.low, finding.high) == pytest.approx((mean, interval.low, interval.high), abs=5.1e-4)


def test_an_interval_with_zero_is_no_effect() -> None:
    assert "weighted is better with 4 of 5 seeds, +0.200 mAP" in str(Finding(4, 5, 0.2, 0.1, 0.3, "so"))
    assert "no effect that 5 seeds can tell, +0.200 mAP" in str(Finding(4, 5, 0.2, -0.1, 0.3, "so"))


def test_the_command_knows_all_demos() -> None:
    assert [mix.value for mix in Mix] == list(DEMOS)
    assert list(NEEDED) == list(Mix)

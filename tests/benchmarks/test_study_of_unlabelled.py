"""The study of data sets that do not label everything: what has no box is visible, and a result is read as it was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
from mixtures import incomplete
from mixtures.arms import Arm, Plan
from mixtures.arms import plans as plans_of_study
from mixtures.matches import Matches, match
from mixtures.page import put
from mixtures.run import RESULT, Run, result_of
from mixtures.schedule import run_all
from mixtures.settings import ADDRESSES, UNLABELLED
from mixtures.unlabelled import AS_IS, CEILING, LENGTHS, plans, problems
from mixtures.unlabelled_page import parts, read
from mmengine.config import Config

from headweights.demo.digits import digits

ROOT = Path(__file__).resolve().parents[2]


def content(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "annotations.json").read_text())


def boxes(folder: Path) -> set[tuple[Any, ...]]:
    """The annotations of a data set, without their numbers."""
    return {(row["image_id"], row["category_id"], *row["bbox"]) for row in content(folder)["annotations"]}


def pictures(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted((folder / "images").iterdir())]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few scenes of each setting: `seed_0`, `seed_1` and `held_out`."""
    folder = tmp_path_factory.mktemp("unlabelled") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incomplete, "FULL", 4)
        patch.setattr(incomplete, "INCOMPLETE", 100)
        patch.setattr(digits, "HELD_OUT", {"validation": 2, "test": 6})
        for name, setting in UNLABELLED.items():
            for seed in (0, 1):
                setting.make(folder / name / f"seed_{seed}", seed)
            setting.make_held_out(folder / name / "held_out")
    return folder


def test_all_files_number_the_classes_alike(data: Path) -> None:
    files = sorted(data.glob("*/*/*/annotations.json"))
    assert len(files) == 2 * (2 * 5 + 2)
    for file in files:
        assert json.loads(file.read_text())["categories"] == [{"id": n, "name": name} for n, name in enumerate(digits.CLASSES)]


@pytest.mark.parametrize(("name", "labelled"), [("low", range(7)), ("high", range(7, 10))])
def test_a_data_set_labels_its_classes_and_shows_all(data: Path, name: str, labelled: range) -> None:
    folder = data / "unlabelled_classes/seed_0"
    everything = boxes(folder / f"{name}_full")
    assert {category for _, category, *_ in everything} == set(range(10))
    assert boxes(folder / name) == {row for row in everything if row[1] in labelled}
    assert pictures(folder / name) == pictures(folder / f"{name}_full")


def test_the_boxes_that_are_missing_are_missing_at_random(data: Path) -> None:
    folder = data / "missing_boxes/seed_0"
    everything = boxes(folder / "none_missing")
    for name, fraction in incomplete.MISSING.items():
        left = boxes(folder / name)
        assert left <= everything and len(left) / len(everything) == pytest.approx(1 - fraction, abs=0.1)
        assert {category for _, category, *_ in left} == set(range(10))
        assert pictures(folder / name) == pictures(folder / "none_missing")
    names = sorted(incomplete.MISSING, key=lambda name: incomplete.MISSING[name])
    assert all(boxes(folder / more) < boxes(folder / less) for less, more in pairwise(names))


def test_everything_in_a_scene_that_is_drawn_can_be_annotated() -> None:
    scene = next(digits.scenes_of("train", 1, np.random.default_rng(0)))
    everything = incomplete.only(scene, digits.CLASSES)
    assert np.array_equal(everything.boxes, scene.boxes) and np.array_equal(everything.labels, scene.labels)
    nothing = incomplete.only(scene, [])
    assert nothing.boxes.shape == (0, 4) and nothing.labels.shape == (0,) and np.array_equal(nothing.image, scene.image)


def test_a_seed_has_scenes_of_its_own_and_always_the_same(data: Path, tmp_path: Path) -> None:
    for name, setting in UNLABELLED.items():
        assert boxes(data / name / "seed_0/full") != boxes(data / name / "seed_1/full")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(incomplete, "FULL", 4)
            patch.setattr(incomplete, "INCOMPLETE", 1)
            setting.make(tmp_path / name, 0)
        assert pictures(tmp_path / name / "full") == pictures(data / name / "seed_0/full")
        assert boxes(tmp_path / name / "full") == boxes(data / name / "seed_0/full")


def matched(tmp_path: Path, objects: list[tuple[Any, ...]], detections: list[tuple[Any, ...]]) -> Matches:
    """The matches on one image. An object has a class and a box (left, top, width, height), a detection also a score."""
    annotated = [
        {"id": n, "image_id": 0, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}
        for n, (label, box, crowd) in enumerate(((*row, 0)[:3] for row in objects), start=1)
    ]
    image = {"id": 0, "file_name": "0.png", "width": 96, "height": 96}
    categories = [{"id": n, "name": name} for n, name in enumerate(digits.CLASSES)]
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    truth.write_text(json.dumps({"images": [image], "annotations": annotated, "categories": categories}))
    found.write_text(json.dumps([{"image_id": 0, "category_id": c, "bbox": box, "score": s} for c, box, s in detections]))
    return match(truth, found)


HERE, THERE = [10, 10, 20, 20], [60, 60, 20, 20]


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        ([], (0, 0)),
        ([(0, HERE, 0.29)], (0, 0)),  # the score is too low
        ([(0, HERE, 0.3)], (1 / 2, 1)),
        ([(0, HERE, 0.9), (7, THERE, 0.9)], (1, 1)),
        ([(7, HERE, 0.9)], (0, 0)),  # the class is wrong
        ([(0, HERE, 0.9), (0, HERE, 0.8)], (1 / 2, 1 / 2)),  # an object is found once
        ([(0, [10, 10, 20, 10], 0.9)], (1 / 2, 1)),  # IoU 0.5
        ([(0, [10, 10, 20, 9], 0.9)], (0, 0)),  # IoU 0.45
        ([(0, [10, 10, 20, 12], 0.9), (0, HERE, 0.8)], (1 / 2, 1 / 2)),  # the higher score chooses first
        ([(0, HERE, 0.9), (3, HERE, 0.9), (7, THERE, 0.1)], (1 / 2, 1 / 2)),
    ],
)
def test_recall_and_precision_at_a_fixed_score(
    tmp_path: Path, detections: list[tuple[Any, ...]], expected: tuple[float, float]
) -> None:
    found = matched(tmp_path, [(0, HERE), (7, THERE)], detections)
    assert (found.recall(), found.precision()) == pytest.approx(expected)


def test_each_detection_takes_the_object_it_overlaps_most(tmp_path: Path) -> None:
    beside = [14, 10, 20, 20]  # IoU 2/3 with HERE
    found = matched(tmp_path, [(0, HERE), (0, beside)], [(0, beside, 0.9), (0, HERE, 0.8)])
    assert (found.recall(), found.precision()) == (1, 1)


def test_an_ignored_region_counts_neither_way(tmp_path: Path) -> None:
    found = matched(tmp_path, [(0, HERE), (0, THERE, 1)], [(0, HERE, 0.9), (0, THERE, 0.9)])
    assert (found.recall(), found.precision(), found.objects) == (1, 1, 1)


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        ([], 0),
        ([(3, HERE, 0.9)], 0),
        ([(0, HERE, 0.1), (7, THERE, 0.1)], 1),  # at any score
        ([(0, HERE, 0.2), (3, HERE, 0.1)], 2 / 3),  # above 0.1: precision 1, recall 1/2
        ([(3, HERE, 0.9), (0, HERE, 0.5), (7, THERE, 0.4)], 4 / 5),  # with all: precision 2/3, recall 1
    ],
)
def test_the_best_f1_is_that_of_the_best_threshold(tmp_path: Path, detections: list[tuple[Any, ...]], expected: float) -> None:
    assert matched(tmp_path, [(0, HERE), (7, THERE)], detections).best_f1() == pytest.approx(expected)


def runs(length: str = "short", seed: int = 0) -> dict[str, Run]:
    """The run of each arm with a seed, by its folder."""
    return {str(plan.folder): run for plan in plans(length, [seed]) for _, run in next(plan.steps())}


def test_an_arm_differs_from_the_data_as_it_is_in_what_it_says() -> None:
    made = runs()
    place = "unlabelled_classes/{}/short/{}"
    for detector in ADDRESSES:
        as_is, labelled, background, both = (
            made[place.format(detector, name)] for name in (AS_IS, "labelled", "background", "both")
        )
        assert as_is.weights is None and as_is.labelled is None
        assert labelled.weights is None and labelled.labelled == both.labelled == incomplete.LABELLED
        assert background.labelled is None and set(background.weights or ()) == set(both.weights or ()) == {"low", "high"}
        assert {run.datasets for run in (as_is, labelled, background, both)} == {("full", "low", "high")}
        assert made[place.format(detector, CEILING)].datasets == ("full", "low_full", "high_full")
    assert made[place.format("faster-rcnn", "both")].weights == {
        n: {"rpn_head.loss_cls.background": 0.3} for n in ("low", "high")
    }
    weighted = made["missing_boxes/atss/short/half_missing/background_0.1"]
    assert weighted.weights == {"half_missing": {"bbox_head.loss_cls.background": 0.1}} and not weighted.normalize


@pytest.mark.parametrize("length", LENGTHS)
def test_all_arms_are_trained_alike_and_tested_once(length: str) -> None:
    made = runs(length, seed=3)
    assert len(made) == 2 * (5 + 3 * 3 + 1)
    shared = {(run.seed, run.split, run.start, run.iterations, run.ratio, run.by_object) for run in made.values()}
    assert shared == {(3, "test", "letters", 150 * LENGTHS[length], None, False)}


def test_lengths_have_folders_of_their_own() -> None:
    assert not set(runs("short")) & set(runs("long"))


def test_a_result_that_is_older_than_a_field_of_its_run_still_counts(tmp_path: Path) -> None:
    rows = json.loads((ROOT / "docs/study.json").read_text())
    assert "labelled" not in rows[0]["run"]
    asked = {place: run for plan in plans_of_study(5) if plan.most == 5 for place, run in next(plan.steps())}
    found = 0
    for row in rows:
        place = Path(row["arm"]) / f"seed_{row['run']['seed']}"
        if place in asked:
            (tmp_path / place).mkdir(parents=True)
            (tmp_path / place / RESULT).write_text(json.dumps(row))
            assert result_of(asked[place], tmp_path / place) == row
            assert result_of(Run(**{**vars(asked[place]), "normalize": False}), tmp_path / place) is None
            found += 1
    assert found == len(asked) > 50


@pytest.mark.slow
@pytest.mark.xdist_group("forked")
@pytest.mark.parametrize("detector", ADDRESSES)
def test_what_an_arm_says_reaches_the_training(data: Path, detector: str) -> None:
    place = PurePath("unlabelled_classes") / detector / "short"
    asked = {name: runs()[str(place / name)] for name in (AS_IS, "labelled", "background", "both")}
    short = {name: Run(**{**vars(run), "iterations": 2, "start": None}) for name, run in asked.items()}

    def steps() -> Arm:
        yield [(place / name, run) for name, run in short.items()]

    done: list[Path] = []
    run_all(
        [Plan("short", "short", "unlabelled_classes", detector, steps, len(short))],
        data.parent,
        2,
        lambda folder, _: done.append(folder),
    )
    assert sorted(folder.name for folder in done) == sorted(short)
    for name, run in short.items():
        result = result_of(run, data.parent / place / name)
        assert result is not None and {"recall", "precision", "best_F1"} <= set(result)
        (hook,) = Config.fromfile(next((data.parent / place / name).glob("*.py"))).get("custom_hooks", [{}])
        assert hook.get("labelled") == (run.labelled and {of: list(classes) for of, classes in run.labelled.items()})
        assert hook.get("weights", {}) == (run.weights or {})


def invented(value: Mapping[str, float], seeds: int) -> list[dict[str, Any]]:
    """Results of all arms at the short length: `value` by the end of the folder of an arm, else 0.1."""
    rows = []
    for seed in range(seeds):
        for folder, run in runs(seed=seed).items():
            mean = next((v for end, v in value.items() if folder.endswith(end)), 0.1) + 0.01 * seed
            metrics = {"mAP": mean, "AP50": 2 * mean, "recall": 1.5 * mean, "precision": 0.5, "best_F1": 0.4}
            rows.append({"arm": folder, **metrics, "seconds": 60, "cpu_seconds": 50, "run": run.described()})
    return rows


def test_the_tables_show_what_came_out() -> None:
    made = parts(read(invented({"atss/short/labelled": 0.2, "atss/short/half_missing/background_0.3": 0.05}, seeds=3)))
    zero = "+0.000 (+0.000 to +0.000)"
    gains = f"+0.100 (+0.100 to +0.100) | +0.150 (+0.150 to +0.150) | {zero} |"
    assert f"| `labelled` | 3 | 0.210 ± 0.010 | 0.420 | 0.315 | 0.500 | 0.400 | {gains}" in made["unlabelled_classes_short"]
    assert (
        f"| `labelled` | 3 | 0.110 ± 0.010 | 0.220 | 0.165 | 0.500 | 0.400 | {zero} | {zero} | {zero} |"
        in made["unlabelled_classes_short"]
    )
    assert "| half of the boxes missing: `.background` 0.3 | 3 | 0.060 ±" in made["missing_boxes_short"]
    summary = made["summary"].splitlines()
    assert "| `labelled` | **+0.100** | **+0.150** | +0.000 |" in summary
    assert "| `.background` 0.3 | **-0.050** | **-0.075** | +0.000 |" in summary
    assert "**ATSS**, seeds: 3 (short, 150 iterations)" in summary and made["missing_boxes_long"] == "(Not run.)"


def test_one_seed_has_no_interval() -> None:
    made = parts(read(invented({"atss/short/labelled": 0.2}, seeds=1)))
    assert (
        "| `labelled` | 1 | 0.200 | 0.400 | 0.300 | 0.500 | 0.400 | +0.100 | +0.150 | +0.000 |"
        in made["unlabelled_classes_short"]
    )
    assert "| `labelled` | +0.100 | +0.150 | +0.000 |" in made["summary"]


def test_a_problem_has_the_seeds_that_all_its_ways_have() -> None:
    rows = invented({}, seeds=3)
    rows.remove(next(row for row in reversed(rows) if row["arm"] == "missing_boxes/atss/short/half_missing/as_is"))
    found = read([row for row in rows if row["arm"] != "unlabelled_classes/atss/short/both"])
    counts = {key: {len(outcome.runs) for outcome in outcomes.values()} for key, outcomes in found.items()}
    titles = [problem.title for problem in problems("atss")]
    everything = {("faster-rcnn", "short", title): {3} for title in titles}
    of_atss = [("atss", "short", title) for title in titles]
    assert counts == {**everything, of_atss[1]: {3}, of_atss[2]: {2}, of_atss[3]: {3}}
    assert "**ATSS**, seeds: 2 to 3 (short, 150 iterations)" in parts(found)["summary"]


def test_the_page_has_the_tables_of_its_results(tmp_path: Path) -> None:
    rows = json.loads((ROOT / "docs/unlabelled.json").read_text())
    page = tmp_path / "unlabelled.md"
    page.write_text((ROOT / "docs/unlabelled.md").read_text())
    made = parts(read(rows))
    assert not put(page, made)
    assert all(f"<!-- study: {name} -->\n{part}\n" in page.read_text() for name, part in made.items())

"""Digits in scenes: each data set is wrong about what it says and nothing else, and a seed always has the same data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headweights.demo.digits import digits, letters
from headweights.demo.digits.data import make_data


def annotations(folder: Path, file: str = "annotations.json") -> list[dict[str, Any]]:
    return json.loads((folder / file).read_text())["annotations"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few scenes of two seeds: `seed_0` and `seed_1`."""
    folder = tmp_path_factory.mktemp("digits")
    for seed in (0, 1):
        digits.make(folder / f"seed_{seed}", seed, sizes={"clean": 8, "wrong_labels": 60, "wrong_boxes": 60})
    return folder


def test_a_digit_is_in_one_split_only() -> None:
    splits = [digits._handwriting(name)[0] for name in ("train", "validation", "test")]
    seen = [{shape.tobytes() for shape in shapes} for shapes in splits]
    assert sum(map(len, seen)) == len(set.union(*seen)) and min(map(len, seen)) > 300


def test_each_data_set_is_wrong_about_what_it_says(data: Path) -> None:
    folder = data / "seed_0"
    assert {row["loss_weight"] for row in annotations(folder / "clean", "trusted.json")} == {1.0}
    right = np.array([row["loss_weight"] for row in annotations(folder / "wrong_labels", "trusted.json")])
    assert set(right) == {0.0, 1.0} and 0.02 < right.mean() < 0.25  # one label in ten is right by chance
    overlap = np.array([row["loss_weight"] for row in annotations(folder / "wrong_boxes", "trusted.json")])
    assert overlap.min() > 0.05 and overlap.max() < 1 and 0.4 < overlap.mean() < 0.65
    for name in digits.SIZES:
        for row in annotations(folder / name):
            left, top, width, height = row["bbox"]
            assert min(left, top) >= 0 and max(left + width, top + height) <= digits.SIDE and min(width, height) >= 2


def test_what_is_not_wrong_stays_right() -> None:
    scene = next(digits.scenes_of("train", 1, np.random.default_rng(0)))
    wrong = digits.wrong_labels(scene, np.random.default_rng(1))
    assert np.array_equal(wrong.boxes, scene.boxes) and np.array_equal(wrong.image, scene.image)
    jittered = digits.wrong_boxes(scene, np.random.default_rng(1))
    assert np.array_equal(jittered.labels, scene.labels) and not np.array_equal(jittered.boxes, scene.boxes)


def test_a_seed_has_its_own_data_and_always_the_same(data: Path, tmp_path: Path) -> None:
    one, other = (annotations(data / f"seed_{seed}" / "clean") for seed in (0, 1))
    assert one != other
    digits.make(tmp_path, 0, sizes={"clean": 8, "wrong_labels": 1, "wrong_boxes": 1})
    assert annotations(tmp_path / "clean") == one
    assert (tmp_path / "clean/images/0003.png").read_bytes() == (data / "seed_0/clean/images/0003.png").read_bytes()


def test_the_generator_is_the_one_that_the_study_was_made_with() -> None:
    """Other boxes or labels would make the study's results those of other data. (Images may differ by OpenCV's rounding.)"""
    rng = np.random.default_rng(7)
    scenes = [*digits.scenes_of("train", 2, rng), *letters.letter_scenes(2, 7)]
    scenes += [wrong(scenes[0], rng) for wrong in (digits.wrong_labels, digits.wrong_boxes)]
    content = b"".join(part.tobytes() for scene in scenes for part in (scene.boxes, scene.labels))
    assert hashlib.sha256(content).hexdigest() == "bf791b227e6eaeb7f64506c67f95a240e27f52affd110c418bc9a51bbe464cfd"


def test_the_demo_has_letters_three_data_sets_and_held_out_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "SIZES", {"clean": 2, "wrong_labels": 3, "wrong_boxes": 4})
    monkeypatch.setattr(digits, "HELD_OUT", {"validation": 1, "test": 5})
    monkeypatch.setattr(letters, "SCENES", 6)
    made = make_data(tmp_path, 3)
    assert [(one.folder.name, one.use, one.images) for one in made] == [
        ("letters", "pretraining", 6),
        ("clean", "training", 2),
        ("wrong_labels", "training", 3),
        ("wrong_boxes", "training", 4),
        ("held_out", "test", 5),
    ]
    for one in made:
        assert len(annotations(one.folder)) == one.boxes
    letter_names = [row["name"] for row in json.loads((tmp_path / "letters/annotations.json").read_text())["categories"]]
    assert letter_names == list(letters.CLASSES)

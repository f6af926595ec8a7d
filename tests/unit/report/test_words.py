"""Numbers, weights and gradients in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from headweights.report.runs.log import Curve, Log
from headweights.report.runs.run import Run
from headweights.report.words import (
    dataset_in_words,
    labels_in_words,
    number,
    opposed_gradients,
    percent,
    schedule_in_words,
    weight_in_words,
)
from headweights.run_record.log_entries import Entry
from headweights.run_record.schema import DataSetRecord, RunRecord, ScheduleRecord, WeightRecord


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (1, "full weight"),
        (0, "no weight (0)"),
        (0.2, "one fifth (0.2)"),
        (0.05, "one twentieth (0.05)"),
        (1 / 3, "one third (0.3333)"),
        (0.37, "0.37 times"),
        (5.5, "5.5 times"),
        (2, "double weight (2)"),
    ],
)
def test_a_weight(weight: float, words: str) -> None:
    assert weight_in_words(weight) == words


@pytest.mark.parametrize(
    ("value", "text"), [(18864, "18,864"), (0.123456, "0.1235"), (-0.12, "-0.12"), (2.0, "2"), (1e-7, "1e-07")]
)
def test_a_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.234, "23%"), (0.004, "0.4%"), (0, "0%"), (1, "100%"), (0.0999, "10%")])
def test_a_share(share: float, text: str) -> None:
    assert percent(share) == text


def rows(**weights: float) -> list[WeightRecord]:
    """`roi_head__loss_cls=0.05` stands for that loss of that head."""
    return [
        WeightRecord(dataset="a", head=key.split("__")[0], loss=key.partition("__")[2], weight=value)
        for key, value in weights.items()
    ]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (rows(rpn_head=1, roi_head=1), "full weight in every head"),
        (rows(rpn_head=1, rpn_head__loss_cls=1, roi_head=1), "full weight in every head"),
        (rows(rpn_head=0.2, roi_head=0.2), "one fifth (0.2) in every head"),
        (rows(rpn_head=0.5, roi_head=0.2), "half (0.5) in rpn_head; one fifth (0.2) in roi_head"),
        (
            rows(rpn_head=1, roi_head=0.2, roi_head__loss_cls=0.05, roi_head__loss_bbox=0.2),
            "one fifth (0.2) in roi_head; its classification one twentieth (0.05); full weight in rpn_head",
        ),
        (rows(roi_head=1, roi_head__loss_mask=0), "full weight in roi_head; its masks no weight (0)"),
        (rows(a__loss_cls=0.5, a__loss_bbox=0.5), "half (0.5) in a"),
        (rows(a__loss_cls=0.5, a__loss_bbox=1), "in a its classification half (0.5), its boxes full weight"),
        ([], "no weights recorded"),
    ],
)
def test_a_data_set(table: list[WeightRecord], words: str) -> None:
    assert dataset_in_words(table, "a") == words


def test_a_background_that_weighs_other_than_its_objects() -> None:
    table = [
        WeightRecord(dataset="a", head="rpn_head", loss="loss_cls", weight=1, background=0.2),
        WeightRecord(dataset="a", head="rpn_head", loss="loss_bbox", weight=1),
    ]
    words = "in rpn_head its classification full weight for objects and one fifth (0.2) for background, its boxes full weight"
    assert dataset_in_words(table, "a") == words
    both = [WeightRecord(dataset="a", head=head, weight=1, background=0) for head in ("loss_ce", "loss_fgl")]
    assert dataset_in_words(both, "a") == "full weight for objects and no weight (0) for background in every head"


@pytest.mark.parametrize(
    ("classes", "labelled", "words"),
    [
        ("car person", None, ""),
        ("car person", "car person", ""),
        ("car person", "car", "labels only car"),
        ("car person dog", "car dog", "does not label person"),
        ("car person", "", "labels no class"),
        ("a b c d e f g h i j k", "k", "labels only k"),
        ("a b c d e f g h i j k l m n o p q r", "a b c d e f g h i", "labels only a, b, c, d, e, f, g, h and 1 more"),
        ("", "car", "labels only car"),
    ],
)
def test_what_a_data_set_labels(classes: str, labelled: str | None, words: str) -> None:
    names = None if labelled is None else labelled.split()
    assert labels_in_words(DataSetRecord(name="a", classes=classes.split(), labelled=names)) == words


def test_a_schedule() -> None:
    assert (
        schedule_in_words(ScheduleRecord(schedule="cosine", points=[(0, 1), (12, 0.1)], by="epoch"))
        == "from 1 to 0.1 over epochs 0 to 12 (cosine)"
    )
    steps = ScheduleRecord(schedule="step", points=[(0, 1), (100, 0.5), (200, 0.1)], by="iter")
    assert schedule_in_words(steps) == "from 1 through 0.5 to 0.1 over iterations 0 to 200 (step)"
    assert schedule_in_words(ScheduleRecord(schedule="mine")) == "by schedule (mine)"


def test_gradients_oppose_each_other_by_the_last_half(tmp_path: Path) -> None:
    def run(pair: str, *values: float | None) -> Run:
        curve = Curve(list(range(len(values))), list(values))
        log = Log(
            {
                Entry("gradient_cosine", "roi_head", pair): curve,
                Entry("raw_loss", "x.y", "real"): curve,
                Entry("raw_loss", "x.y", "b"): curve,
            }
        )
        return Run("run", tmp_path, log, RunRecord(target="real"))

    expected = [(("b", "real"), "In roi_head, b's gradient opposes real's (mean cosine -0.30)")]
    assert opposed_gradients(run("b vs real", 1, 1, None, -0.2, -0.4)) == expected
    # The target is what is opposed, whichever way around it was logged.
    assert opposed_gradients(run("real vs b", 1, 1, -0.2, -0.4)) == expected
    assert opposed_gradients(run("b vs real", -1, -1, 0.2, 0.4)) == []
    assert opposed_gradients(run("b vs real", None)) == []

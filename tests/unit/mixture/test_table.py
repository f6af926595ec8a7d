"""The table: a column for whatever is weighted alike, plain text for a log, records for machines."""

from __future__ import annotations

from headweights import Address, AddressBook
from headweights.mixture.mix import DataSet, Mix, addressed_block
from headweights.mixture.table import columns, plain, records, table_of
from headweights.weights.block import parse_block
from headweights.weights.schedules import Constant

CASCADE = AddressBook(
    {"rpn_head": ("loss_cls", "loss_bbox"), "roi_head.bbox_head.0": ("loss_cls",), "roi_head.bbox_head.1": ("loss_cls",)}
)
TERM = "rpn_head", "loss_cls"


def mix_of(images: int | None = 1000, normalize: bool = False, **weights: object) -> Mix:
    datasets = [
        DataSet("real", images, 1000, objects=12345, fields={Address("rpn_head"): 3.0}),
        DataSet("rendered", 3000, 3000, own=lambda head, loss: 0.5 if head == "rpn_head" else 1.0),
    ]
    resolved, _ = addressed_block(["real", "rendered"], CASCADE, parse_block(weights))
    return Mix(datasets, CASCADE, resolved, normalize)


def test_what_weighs_alike_shares_a_column() -> None:
    assert [title for title, _ in columns(mix_of())] == ["rpn_head", "roi_head"]
    stage = mix_of(real={"roi_head.bbox_head.1": 0.5})
    assert [title for title, _ in columns(stage)] == ["rpn_head", "roi_head.bbox_head.0", "roi_head.bbox_head.1"]
    loss = mix_of(rendered={"rpn_head.loss_cls": 0.5})
    assert [title for title, _ in columns(loss)] == ["rpn_head.loss_cls", "rpn_head.loss_bbox", "roi_head"]


def test_a_cell_says_weight_share_and_who_set_it() -> None:
    text = plain(table_of(mix_of(rendered=dict(schedule="linear", points=[(0, 0.5), (9, 1.0)], by="iter"), real=2.0)))
    real, rendered = (line for line in text.splitlines() if line.startswith("| re"))
    assert "1,000" in real and "12,345" in real and "3* (80.0%)" in real and "2 (57.1%)" in real
    assert "?" in rendered and "0.5 to 1 (linear, iter 0 to 9) (20.0%)" in rendered
    assert "* set by the data set's pipeline" in text


def test_a_mean_of_the_images_own_weights_is_shown() -> None:
    text = plain(table_of(mix_of(normalize=True)))
    assert "1 -> 0.444 (33.3%)" in text and "3* -> 2.67 (66.7%)" in text
    assert "normalised to a mean weight of 1" in text


def test_without_pictures_there_are_no_shares() -> None:
    text = plain(table_of(mix_of(images=None)))
    assert "shares are not known" in text and "%" not in text


def test_objects_that_nobody_counted_have_no_column() -> None:
    counted, uncounted = mix_of(), Mix([DataSet("real", 1000, 1000)], CASCADE, {}, False)
    assert "objects" in plain(table_of(counted)) and "objects" not in plain(table_of(uncounted))


def test_records() -> None:
    given = records(mix_of(rendered={"roi_head": 0.2}))
    assert len(given) == 2 * len(CASCADE.terms)
    assert given[0] == dict(
        dataset="real",
        head="rpn_head",
        loss="loss_cls",
        weight=3.0,
        effective_weight=3.0,
        schedule=None,
        background=None,
        source="pipeline",
        share=3000 / 4500,
    )
    assert {row["source"] for row in given if row["head"].startswith("roi") and row["dataset"] == "rendered"} == {"hook"}


def test_the_background_and_what_a_data_set_labels() -> None:
    book = AddressBook({"bbox_head": ("loss_cls", "loss_bbox")}, backgrounds={"bbox_head": ("loss_cls",)})
    datasets = [
        DataSet("cars", 10, 10.0, classes=("car", "dog"), labelled=("car",)),
        DataSet("rest", 10, 10.0, classes=("car", "dog")),
    ]
    weights = {"cars": {Address("bbox_head", None, background=True): Constant(0.2)}}
    text = plain(table_of(Mix(datasets, book, weights, classifying=[("bbox_head", "loss_cls")])))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and "--" not in line
    ]
    assert rows[0][2:] == ["labels", "bbox_head.loss_cls", "bbox_head.loss_bbox"]
    assert rows[1] == ["cars", "10", "car", "1, background 0.2 (50.0%)", "1 (50.0%)"]
    assert rows[2] == ["rest", "10", "all", "1 (50.0%)", "1 (50.0%)"]
    found = {(row["dataset"], row["loss"]): row["background"] for row in records(Mix(datasets, book, weights))}
    assert found[("cars", "loss_cls")] == 0.2
    assert found[("cars", "loss_bbox")] is found[("rest", "loss_cls")] is None

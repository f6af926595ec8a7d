"""The results of runs: last and best values, and their differences from the first run."""

from __future__ import annotations

from pathlib import Path

import pytest

from headweights.report.runs.log import Curve, Log
from headweights.report.runs.run import Run
from headweights.report.tables import differences, weight_table
from headweights.run_record.schema import RunRecord, WeightRecord


def run(name: str, **metrics: list[float | None]) -> Run:
    log = Log(metrics={key: Curve(list(range(1, len(values) + 1)), values) for key, values in metrics.items()})
    return Run(name, Path(name), log)


@pytest.mark.parametrize(
    ("metric", "last", "best"),
    [("bbox_mAP", ["0.3", "0.4"], ["0.5", "0.6"]), ("val_loss", ["0.3", "0.4"], ["0.3", "0.2"])],
)
def test_last_and_best(metric: str, last: list[str], best: list[str]) -> None:
    found = differences([run("a", **{metric: [0.4, 0.5, 0.3]}), run("b", **{metric: [0.2, 0.6, 0.4]})], [])
    rows = {row.what: row for row in found.outcomes}
    assert rows[f"{metric}, last"].values == last
    assert rows[f"{metric}, best"].values == best
    assert rows[f"{metric}, last"].deltas == ["", "+0.1"]


def test_a_metric_that_a_run_does_not_have() -> None:
    found = differences([run("a", x=[0.4]), run("b", y=[0.4]), run("c", x=[0.4], y=[None, 0.1])], [])
    rows = {row.what: (row.values, row.deltas) for row in found.outcomes}
    assert rows["x, last"] == (["0.4", "\N{EN DASH}", "0.4"], ["", "", "same"])
    assert rows["y, last"] == (["\N{EN DASH}", "0.4", "0.1"], ["", "", ""])


def test_equal_main_settings_are_listed_and_work_dirs_are_ignored() -> None:
    a, b = run("a"), run("b")
    a.main, a.settings = {"seed": "1", "iterations": "9"}, {"work_dir": "a", "model.neck.type": "FPN"}
    b.main, b.settings = {"seed": "2", "iterations": "9"}, {"work_dir": "b"}
    found = differences([a, b], [])
    assert [(row.what, row.values) for row in found.set] == [("seed", ["1", "2"])]
    assert [(row.what, row.values) for row in found.settings] == [("model.neck.type", ["FPN", "\N{EN DASH}"])]
    assert found.same == ["iterations 9"]


def test_settings_of_two_frameworks_are_compared_by_the_main_ones_only() -> None:
    a, b = run("a"), run("b")
    a.framework, a.main, a.settings = "mmengine", {"seed": "1", "epochs": ""}, {"model.neck.type": "FPN"}
    b.framework, b.main, b.settings = "transformers", {"epochs": "3"}, {"model.hidden_size": "16"}
    found = differences([a, b], [])
    assert [(row.what, row.values) for row in found.set] == [("epochs", ["\N{EN DASH}", "3"]), ("seed", ["1", "unknown"])]
    assert found.settings == []


def test_a_metric_that_two_frameworks_name_differently_has_one_row() -> None:
    found = differences([run("a", **{"coco/bbox_mAP": [0.2, 0.3]}), run("b", eval_loss=[1.0], eval_map=[0.4])], [])
    rows = {row.what: (row.values, row.deltas) for row in found.outcomes}
    assert rows["coco/bbox_mAP · eval_map, last"] == (["0.3", "0.4"], ["", "+0.1"])
    assert rows["eval_loss, last"] == (["\N{EN DASH}", "1"], ["", ""])


def recorded(name: str, *rows: WeightRecord) -> Run:
    return Run(name, Path(name), record=RunRecord(table=list(rows)))


def rows_of(weights: dict[str, float], **more: float) -> list[WeightRecord]:
    """As the hook records them: a row a loss, none for the head."""
    return [
        WeightRecord(dataset="a", head="roi_head.bbox_head", loss=loss, weight=weight, **more) for loss, weight in weights.items()
    ]


def test_losses_with_equal_weights_are_shown_as_their_head() -> None:
    table = weight_table(recorded("x", *rows_of({"loss_cls": 0.2, "loss_bbox": 0.2}, share=0.4, effective_weight=0.25)), 0, ["a"])
    (cell,) = table.rows[0].cells
    assert (cell.weight, cell.share, cell.losses) == ("0.2, effective 0.25", "40%", [])
    (cell,) = weight_table(recorded("x", *rows_of({"loss_cls": 0.05, "loss_bbox": 0.2}, share=0.4)), 0, ["a"]).rows[0].cells
    assert (cell.weight, cell.losses) == ("", [("loss_cls", "0.05 (40%)"), ("loss_bbox", "0.2 (40%)")])


def test_a_background_is_in_the_cell_if_it_weighs_other_than_its_objects() -> None:
    rows = [
        WeightRecord(dataset="a", head="rpn_head", loss="loss_cls", weight=1, background=0.2, share=0.4),
        WeightRecord(dataset="a", head="rpn_head", loss="loss_bbox", weight=1, share=0.4),
    ]
    (cell,) = weight_table(recorded("x", *rows), 0, ["a"]).rows[0].cells
    assert cell.losses == [("loss_cls", "1, background 0.2 (40%)"), ("loss_bbox", "1 (40%)")]


def test_runs_that_weigh_the_background_differently_differ() -> None:
    def with_background(name: str, background: float | None) -> Run:
        return recorded(name, WeightRecord(dataset="a", head="loss_ce", weight=1, background=background))

    (row,) = differences([with_background("x", None), with_background("y", 0.0)], ["a"]).set
    assert (row.what, row.values) == ("a: weight in loss_ce", ["1", "1, background 0"])


def test_a_difference_is_shown_for_the_head_if_its_losses_agree() -> None:
    def differing(one: dict[str, float], other: dict[str, float]) -> list[tuple[str, list[str]]]:
        found = differences([recorded("x", *rows_of(one)), recorded("y", *rows_of(other))], ["a"])
        return [(row.what.removeprefix("a: weight in roi_head.bbox_head"), row.values) for row in found.set]

    full = {"loss_cls": 1.0, "loss_bbox": 1.0}
    assert differing(full, full) == []
    assert differing(full, {"loss_cls": 0.2, "loss_bbox": 0.2}) == [("", ["1", "0.2"])]
    both = [(", loss_cls", ["1", "0.05"]), (", loss_bbox", ["1", "0.2"])]
    assert differing(full, {"loss_cls": 0.05, "loss_bbox": 0.2}) == both
    assert differing(full, {"loss_cls": 0.05, "loss_bbox": 1.0}) == both[:1]


def test_a_run_without_the_head_has_no_weight_in_it() -> None:
    def in_head(head: str, **weights: float) -> list[WeightRecord]:
        return [WeightRecord(dataset=dataset, head=head, weight=weight) for dataset, weight in weights.items()]

    one = recorded("x", *in_head("roi_head", a=0.2, b=1))
    other = recorded("y", *in_head("loss_ce", a=0.5, b=1))
    # b has full weight wherever there is a head.
    assert [(row.what, row.values) for row in differences([one, other], ["a", "b"]).set] == [
        ("a: weight in roi_head", ["0.2", "\N{EN DASH}"]),
        ("a: weight in loss_ce", ["\N{EN DASH}", "0.5"]),
    ]
    # This run has the head, though no weight for a in it.
    other = recorded("y", *in_head("roi_head", b=1), *in_head("neck", a=1))
    assert differences([one, other], ["a", "b"]).set[0].values == ["0.2", "1"]

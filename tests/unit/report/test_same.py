"""Which metric counts most."""

from __future__ import annotations

import pytest

from headweights.report.same import main_metric


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["accuracy", "coco/zero_precision"], "accuracy"),
        (["coco/zero_precision", "coco/bbox_mAP_50", "coco/bbox_mAP"], "coco/bbox_mAP"),
        (["eval_loss", "eval_map_50", "eval_map"], "eval_map"),
    ],
)
def test_the_mean_average_precision_or_else_the_first_one(names: list[str], expected: str) -> None:
    assert main_metric(name for name in names) == (expected, [expected])

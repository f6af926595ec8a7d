"""The names of log entries can be read back, whatever the data sets are called."""

from __future__ import annotations

import pytest

from headweights.run_record.log_entries import QUANTITIES, Entry, pair_name, parse_entry, split_pair


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_name_is_read_back(quantity: str) -> None:
    entry = Entry(quantity, "a.loss_cls", "vendor A/loose boxes")
    assert entry.name == f"{quantity}/a.loss_cls/vendor A/loose boxes"
    assert parse_entry(entry.name) == entry


@pytest.mark.parametrize("name", ["loss", "coco/bbox_mAP", "a/b/c", "raw_loss/a", "raw_loss//b", "raw_loss/a/"])
def test_other_scalars_are_no_entries(name: str) -> None:
    assert parse_entry(name) is None


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a vs b", "c"), ("a", "b vs c")])
def test_a_pair_is_split_where_its_names_end(one: str, other: str) -> None:
    assert split_pair(pair_name(one, other), [one, other]) == (one, other)


def test_what_is_no_pair_stands_for_both() -> None:
    assert split_pair("nonsense", ["a"]) == ("nonsense", "nonsense")

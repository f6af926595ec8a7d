"""What an address spells, which one wins, and what is said of one that spells nothing."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headweights import Address, AddressBook, WeightError
from headweights.weights.addresses import field_of, most_specific

TWO_STAGE = AddressBook(
    weighted={
        "rpn_head": ("loss_cls", "loss_bbox"),
        "roi_head.bbox_head.0": ("loss_cls", "loss_bbox"),
        "roi_head.bbox_head.1": ("loss_cls", "loss_bbox"),
    },
    stock={"roi_head.mask_head": "FCNMaskHead"},
)
STOCK_ROI = AddressBook(weighted={"rpn_head": ("loss_cls",)}, stock={"roi_head.bbox_head": "Shared2FCBBoxHead"})


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("rpn_head.loss_weight", Address("rpn_head")),
        ("roi_head.loss_weight", Address("roi_head")),
        ("roi_head.bbox_head.loss_weight", Address("roi_head.bbox_head")),
        ("roi_head.bbox_head.0.loss_weight", Address("roi_head.bbox_head.0")),
        ("roi_head.bbox_head.0.loss_cls.loss_weight", Address("roi_head.bbox_head.0", "loss_cls")),
        ("roi_head.bbox_head.loss_bbox.loss_weight", Address("roi_head.bbox_head", "loss_bbox")),
    ],
)
def test_addresses_are_found_by_their_field(field: str, address: Address) -> None:
    assert TWO_STAGE.find(field) == address
    assert address.field == field


@pytest.mark.parametrize(
    "field", ["img_id", "img_path", "scale_factor", "flip", "dataset_name", "sensor.gain", "weather", "weight"]
)
def test_fields_that_are_no_weights_are_left_in_peace(field: str) -> None:
    assert TWO_STAGE.find(field) is None


@pytest.mark.parametrize(
    ("field", "nearest"),
    [
        ("rpn_haed.loss_weight", "rpn_head.loss_weight"),
        ("rpn_head.loss_wieght", "rpn_head.loss_weight"),
        ("rpn_haed.loss_wieght", "rpn_head.loss_weight"),
        ("rpn_head.weight", "rpn_head.loss_weight"),
        ("rpn_head_loss_weight", "rpn_head.loss_weight"),
        ("RPN_head.loss_weight", "rpn_head.loss_weight"),
        ("roi_head.bbox_haed.loss_weight", "roi_head.bbox_head.loss_weight"),
        ("roi_head.bbox_head.3.loss_weight", "roi_head.bbox_head"),
        ("roi_head.bbox_head.0.loss_clss.loss_weight", "roi_head.bbox_head.0.loss_cls.loss_weight"),
        ("loss_weight", "rpn_head.loss_weight"),
    ],
)
def test_a_misspelt_field_is_an_error_that_names_the_nearest_valid_one(field: str, nearest: str) -> None:
    with pytest.raises(WeightError) as error:
        TWO_STAGE.find(field)
    assert repr(field) in str(error.value)
    assert nearest in str(error.value)


@pytest.mark.parametrize(
    "field", ["roi_head.loss_weight", "roi_head.bbox_head.loss_weight", "roi_head.bbox_head.loss_cls.loss_weight"]
)
def test_a_weight_for_a_head_that_is_still_stock_says_which_type_to_write(field: str) -> None:
    with pytest.raises(WeightError, match="Shared2FCBBoxHeadWithWeightPerImage") as error:
        STOCK_ROI.find(field)
    assert repr(field) in str(error.value)


def test_a_misspelt_weight_of_a_stock_head_is_an_error_too() -> None:
    with pytest.raises(WeightError, match=r"roi_head\.loss_wieght"):
        STOCK_ROI.find("roi_head.loss_wieght")


def test_a_model_without_weighted_heads_reads_no_weight() -> None:
    with pytest.raises(WeightError, match="No head of this model is weighted"):
        AddressBook(weighted={}, stock={}).find("rpn_head.loss_weight")


def test_what_an_address_acts_on_and_what_it_leaves_alone() -> None:
    roi = Address("roi_head")
    assert TWO_STAGE.acts_on(roi) == ["roi_head.bbox_head.0", "roi_head.bbox_head.1"]
    assert TWO_STAGE.left_alone(roi) == {"roi_head.mask_head": "FCNMaskHead"}
    assert TWO_STAGE.left_alone(Address("roi_head.bbox_head")) == {}


def test_the_most_specific_wins_and_they_do_not_multiply() -> None:
    given_weights = {Address("roi_head"): 2.0, Address("roi_head.bbox_head"): 3.0, Address("roi_head.bbox_head", "loss_cls"): 5.0}
    given_weights[Address("roi_head.bbox_head.1")] = 7.0
    assert most_specific(given_weights, "roi_head.bbox_head.0", "loss_cls", 1.0) == 5.0
    assert most_specific(given_weights, "roi_head.bbox_head.0", "loss_bbox", 1.0) == 3.0
    assert most_specific(given_weights, "roi_head.bbox_head.1", "loss_cls", 1.0) == 7.0
    assert most_specific(given_weights, "roi_head.mask_head", "loss_mask", 1.0) == 2.0
    assert most_specific(given_weights, "rpn_head", "loss_cls", 1.0) == 1.0


def test_a_path_is_covered_by_whole_parts_only() -> None:
    assert not Address("roi_head.bbox_head.1").covers("roi_head.bbox_head.10", "loss_cls")
    assert not Address("rpn").covers("rpn_head", "loss_cls")


paths = st.lists(st.sampled_from(["a_head", "b_head", "0", "1"]), min_size=1, max_size=4).map(".".join)
losses = st.sampled_from(["loss_cls", "loss_bbox", "loss_iou"])
heads = st.dictionaries(paths, st.lists(losses, unique=True), min_size=1, max_size=4)


@given(heads)
def test_every_field_of_a_book_is_found_and_acts_on_something(weighted: dict[str, list[str]]) -> None:
    book = AddressBook(weighted)
    for name in book.fields:
        address = book.find(name)
        assert address is not None
        assert address.field == name
        assert book.acts_on(address)


@given(heads, st.data())
def test_one_address_decides_and_it_is_the_longest_path_then_the_loss(
    weighted: dict[str, list[str]], data: st.DataObject
) -> None:
    book = AddressBook(weighted)
    chosen = data.draw(st.lists(st.sampled_from(book.fields), unique=True))
    given_weights = {book.find(name): float(index + 2) for index, name in enumerate(chosen)}
    head = data.draw(st.sampled_from(sorted(weighted)))
    loss = data.draw(losses)
    covering = [a for a in given_weights if a is not None and a.covers(head, loss)]
    weight = most_specific(given_weights, head, loss, 1.0)  # type: ignore[arg-type]
    if not covering:
        assert weight == 1
    else:
        longest = max(len(a.path.split(".")) for a in covering)
        finalists = [a for a in covering if len(a.path.split(".")) == longest]
        winner = next((a for a in finalists if a.loss), finalists[0])
        assert len(finalists) <= 2
        assert weight == given_weights[winner]


@given(heads, st.data())
def test_one_slip_of_a_finger_never_passes_unnoticed(weighted: dict[str, list[str]], data: st.DataObject) -> None:
    book = AddressBook(weighted)
    name = data.draw(st.sampled_from(book.fields))
    at = data.draw(st.integers(0, len(name) - 2))
    slipped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    assume(slipped not in book.fields)
    with pytest.raises(WeightError):
        book.find(slipped)


def test_field_of_a_target() -> None:
    assert field_of("roi_head.bbox_head") == "roi_head.bbox_head.loss_weight"


# --- the background ---

WITH_BACKGROUND = AddressBook(
    weighted={"rpn_head": ("loss_cls", "loss_bbox"), "bbox_head": ("loss_cls",), "mask_head": (), "heat_head": ("loss_cls",)},
    backgrounds={"rpn_head": ("loss_cls",), "bbox_head": ("loss_cls",), "mask_head": (), "heat_head": "its objects overlap"},
)
ONE_LOSS = AddressBook({"loss_ce": (), "loss_bbox": ()}, backgrounds={"loss_ce": ("",), "loss_bbox": ()})


@pytest.mark.parametrize(
    ("book", "target", "address"),
    [
        (WITH_BACKGROUND, "rpn_head.background", Address("rpn_head", None, True)),
        (WITH_BACKGROUND, "rpn_head.loss_cls.background", Address("rpn_head", "loss_cls", True)),
        (ONE_LOSS, "loss_ce.background", Address("loss_ce", None, True)),
        (ONE_LOSS, "background", Address("", None, True)),
    ],
)
def test_a_target_may_end_in_background(book: AddressBook, target: str, address: Address) -> None:
    assert book.at(target) == address
    assert address.target == target
    assert book.find(field_of(target)) == address


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("rpn_head.loss_bbox.background", "rpn_head.loss_bbox learns from predictions that are matched to objects only"),
        ("mask_head.background", "mask_head learns from predictions that are matched to objects only"),
        ("heat_head.background", "target 'heat_head.background': its objects overlap."),
        ("heat_head.loss_cls.background", "target 'heat_head.loss_cls.background': its objects overlap."),
        ("background", "heat_head cannot give its background a weight of its own: its objects overlap. Name the heads that you"),
        ("rpn_head.backgroud", "Nearest valid: 'rpn_head.background'."),
        ("rpn_heat.background", "Nearest valid: 'rpn_head.background'."),
    ],
)
def test_a_background_that_cannot_be_weighted_is_an_error_that_says_why(target: str, message: str) -> None:
    with pytest.raises(WeightError) as error:
        WITH_BACKGROUND.at(target)
    assert message in str(error.value)
    assert "'rpn_head.loss_bbox.background'" not in str(error.value).partition("Valid here")[2]


def test_for_the_background_the_longest_path_wins_then_background_then_the_loss() -> None:
    given = {
        Address(""): 1.0,
        Address("", None, True): 2.0,
        Address("rpn_head"): 3.0,
        Address("rpn_head", "loss_cls"): 4.0,
        Address("rpn_head", None, True): 5.0,
        Address("rpn_head", "loss_cls", True): 6.0,
    }
    order = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    for expected in order:
        assert most_specific(given, "rpn_head", "loss_cls", 0.0, background=True) == expected
        given = {address: weight for address, weight in given.items() if weight != expected}


def test_objects_do_not_see_the_weight_of_the_background() -> None:
    given = {Address("", None, True): 2.0, Address("rpn_head", "loss_cls", True): 6.0}
    assert most_specific(given, "rpn_head", "loss_cls", 1.0) == 1.0
    assert WITH_BACKGROUND.acts_on(Address("rpn_head", None, True)) == ["rpn_head"]
    assert WITH_BACKGROUND.has_background("rpn_head", "loss_cls")
    assert not WITH_BACKGROUND.has_background("rpn_head", "loss_bbox")
    assert not WITH_BACKGROUND.has_background("heat_head", "loss_cls")

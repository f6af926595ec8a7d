"""The mix: who says what of a term, what share each data set gets, what normalising makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headweights import Address, AddressBook
from headweights.batch.in_force import InForce
from headweights.mixture.mix import DataSet, Mix, Moment, addressed_block, no_such_dataset
from headweights.weights.block import parse_block

BOOK = AddressBook({"rpn_head": ("loss_cls", "loss_bbox"), "roi_head.bbox_head": ("loss_cls", "loss_bbox"), "mask_head": ()})
LINE = dict(schedule="linear", points=[(0, 1.0), (10, 0.0)], by="iter")


def mix_of(*datasets: DataSet, normalize: bool = False, **weights: object) -> Mix:
    resolved, problems = addressed_block([dataset.name for dataset in datasets], BOOK, parse_block(weights))
    assert not problems
    return Mix(datasets, BOOK, resolved, normalize)


REAL, RENDERED = DataSet("real", images=10, drawn=10), DataSet("rendered", images=15, drawn=30)


def test_the_most_specific_entry_decides_and_the_rest_is_one() -> None:
    mix = mix_of(REAL, RENDERED, rendered={"": 0.5, "roi_head": 0.2, "roi_head.bbox_head.loss_cls": 0.05})
    assert [mix.weight("rendered", *term) for term in mix.terms] == [0.5, 0.5, 0.05, 0.2, 0.5]
    assert {mix.weight("real", *term) for term in mix.terms} == {1.0}
    assert mix.given("real", "rpn_head", "loss_cls").source == "default"
    assert mix.given("rendered", "rpn_head", "loss_cls").source == "hook"


def test_a_pipelines_field_wins_at_its_own_address_only() -> None:
    dataset = DataSet("real", 10, 10, fields={Address("rpn_head"): 3.0})
    mix = mix_of(dataset, real={"rpn_head": 7.0, "rpn_head.loss_cls": 5.0, "roi_head": 0.5})
    given = {term: mix.given("real", *term) for term in mix.terms}
    assert [(str(g.weight), g.source) for g in given.values()] == [
        ("5", "hook"),
        ("3", "pipeline"),
        ("0.5", "hook"),
        ("0.5", "hook"),
        ("1", "default"),
    ]


def test_a_share_is_pictures_drawn_times_weight() -> None:
    mix = mix_of(REAL, RENDERED, rendered=LINE)
    term = "rpn_head", "loss_cls"
    assert mix.shares(*term) == {"real": 0.25, "rendered": 0.75}
    assert mix.shares(*term, Moment(5)) == {"real": 0.4, "rendered": 0.6}
    assert mix.mean(*term, Moment(10)) == 0.25
    nothing = mix_of(REAL, real=0)
    assert nothing.shares(*term) == {"real": 0.0}


def test_the_images_own_weights_count() -> None:
    own = DataSet("real", 10, 10, own=lambda head, loss: 0.5 if head == "rpn_head" else 1.0)
    mix = mix_of(own, RENDERED, real=2.0)
    assert mix.effective("real", "rpn_head", "loss_cls") == 1.0
    assert mix.effective("real", "mask_head", "") == 2.0


def test_what_is_in_force_names_every_data_set_and_follows_the_schedule() -> None:
    mix = mix_of(REAL, RENDERED, rendered={"rpn_head": LINE})
    assert mix.in_force(Moment(0)) == InForce({"real": {}, "rendered": {Address("rpn_head"): 1.0}}, {})
    assert mix.in_force(Moment(3)).datasets["rendered"] == {Address("rpn_head"): pytest.approx(0.7)}
    assert [(name, address) for name, address, _ in mix.schedules] == [("rendered", Address("rpn_head"))]


def test_a_moment_is_the_same_whatever_was_asked_before() -> None:
    weights = dict(real=0.5, rendered={"rpn_head": LINE, "mask_head": 2.0})
    mix = mix_of(REAL, RENDERED, normalize=True, **weights)
    for iteration in (3, 8, 0, 12, 3):
        moment, fresh = Moment(iteration), mix_of(REAL, RENDERED, normalize=True, **weights)
        assert mix.in_force(moment) == fresh.in_force(moment)
        assert [mix.shares(*term, moment) for term in mix.terms] == [fresh.shares(*term, moment) for term in mix.terms]


positive = st.floats(1e-3, 1e3)


@given(st.lists(st.tuples(positive, st.integers(1, 1000)), min_size=1, max_size=4), st.integers(0, 12))
def test_normalised_weights_have_a_mean_of_one_at_every_moment(parts: list[tuple[float, int]], iteration: int) -> None:
    datasets = [DataSet(str(number), drawn, drawn) for number, (_, drawn) in enumerate(parts)]
    weights = {str(number): {"rpn_head": weight} for number, (weight, _) in enumerate(parts)}
    weights["0"]["roi_head"] = dict(schedule="linear", points=[(0, 1.0), (10, 0.5)], by="iter")  # type: ignore[assignment]
    mix, plain = mix_of(*datasets, normalize=True, **weights), mix_of(*datasets, **weights)
    moment = Moment(iteration)
    for head, loss in mix.terms:
        total = sum(dataset.drawn * mix.effective(dataset.name, head, loss, moment) for dataset in datasets)
        assert total / sum(dataset.drawn for dataset in datasets) == pytest.approx(1)
        assert mix.shares(head, loss, moment) == plain.shares(head, loss, moment)
    now = mix.in_force(moment)
    in_force, scales = now.datasets, now.scales
    for name, given_weights in in_force.items():
        scaled = given_weights[Address("rpn_head")] * scales["rpn_head", "loss_cls"]
        assert scaled == pytest.approx(mix.effective(name, "rpn_head", "loss_cls", moment))


def test_a_head_without_weight_is_not_divided_by_it() -> None:
    assert mix_of(REAL, normalize=True, real=0).in_force(Moment()).scales["rpn_head", "loss_cls"] == 1.0


def test_every_name_that_does_not_exist_is_said() -> None:
    block = parse_block(dict(reel={"rpn_haed": 1.0}, real={"roi_head": 1.0, "maks_head": 1.0}))
    resolved, problems = addressed_block(["real", "rendered"], BOOK, block)
    assert list(resolved) == ["real"] and len(resolved["real"]) == 1
    assert len(problems) == 3
    assert no_such_dataset("here: 'reel'", "reel", ["real", "rendered"]) == (
        "here: 'reel' is no data set of this training. Nearest valid: 'real'. Its data sets: 'real', 'rendered'."
    )

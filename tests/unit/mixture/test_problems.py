"""What a mix will probably not do as hoped, and that a mix which does is not bothered."""

from __future__ import annotations

from headweights import AddressBook
from headweights.mixture.mix import DataSet, Mix, Moment, addressed_block
from headweights.mixture.problems import Length, Problem, problems_of, wrong_backgrounds
from headweights.weights.block import parse_block
from headweights.weights.schedules import Schedule

BOOK = AddressBook({"rpn_head": ("loss_cls", "loss_bbox"), "bbox_head": ("loss_cls",)})


def found(
    length: Length | None = None, normalize: bool = False, classes: tuple[str, ...] = ("a",), **weights: object
) -> list[Problem]:
    datasets = [DataSet("real", 10, 10, classes=("a",)), DataSet("rendered", 30, 30, classes=classes)]
    resolved, problems = addressed_block([dataset.name for dataset in datasets], BOOK, parse_block(weights))
    assert not problems
    return list(problems_of(Mix(datasets, BOOK, resolved, normalize), length or Length()))


def kinds(problems: list[Problem]) -> list[str]:
    assert not any(problem.stops for problem in problems)
    return [problem.kind for problem in problems]


def test_a_balanced_mix_has_no_problem() -> None:
    assert not found()
    assert not found(real=2.5, rendered=0.5)
    assert not found(real=1.2)


def test_one_loss_without_weight() -> None:
    problems = found(real={"rpn_head.loss_cls": 0}, rendered={"rpn_head.loss_cls": 0})
    assert kinds(problems) == ["no weight"]
    assert "rpn_head.loss_cls:" in problems[0].message


def test_a_weight_of_zero_is_meant_and_a_tiny_one_is_not() -> None:
    assert not found(real=0, rendered=4 / 3)
    problems = found(real=0.0001, rendered=4 / 3)
    assert kinds(problems) == ["tiny share"], "said once for all losses"
    assert "share of only 0.0025% in rpn_head.loss_cls, rpn_head.loss_bbox, bbox_head.loss_cls " in problems[0].message


def test_a_share_that_grows_is_not_tiny() -> None:
    late = dict(schedule="step", points=[(0, 0.0001), (5, 1.0)], by="iter")
    assert kinds(found(real=late, normalize=True)) == []


def test_the_learning_rate_at_its_furthest() -> None:
    problems = found(rendered=dict(schedule="linear", points=[(0, 1.0), (5, 0.2), (9, 0.8)], by="iter"))
    assert kinds(problems) == ["learning rate"]
    assert "learning rate times 0.4" in problems[0].message
    assert not found(normalize=True, rendered=0.2)


def test_a_schedule_may_end_with_the_training_and_not_after() -> None:
    def over(end: int, by: str) -> dict[str, object]:
        return dict(schedule="linear", points=[(0, 1.0), (end, 0.9)], by=by)

    length = Length(iterations=120, epochs=12)
    assert not found(length, real=over(12, "epoch"), rendered=over(120, "iter"))
    assert kinds(found(length, real=over(13, "epoch"), rendered=over(121, "iter"))) == ["schedule", "schedule"]
    assert not found(Length(), real=over(999, "iter")), "how long it trains is not known"


def test_different_classes() -> None:
    problems = found(classes=("a", "b"))
    assert kinds(problems) == ["classes"]
    assert "real: 1 (a); rendered: 2 (a, b)" in problems[0].message


def test_a_time_of_a_schedule_as_a_moment() -> None:
    length = Length(iterations=120, epochs=12)
    assert length.moment(Schedule("step", ((0, 1.0),), "iter"), 25) == Moment(25, 2)
    assert length.moment(Schedule("step", ((0, 1.0),), "epoch"), 3) == Moment(30, 3)
    assert Length().moment(Schedule("step", ((0, 1.0),), "epoch"), 3) == Moment(0, 3)


# --- the background ---

LEARNS = AddressBook(BOOK.weighted, backgrounds={"rpn_head": ("loss_cls",), "bbox_head": ("loss_cls",)})


def silenced(**weights: object) -> list[str]:
    datasets = [DataSet("real", 10, 10), DataSet("rendered", 30, 30)]
    resolved, problems = addressed_block(["real", "rendered"], LEARNS, parse_block(weights))
    assert not problems
    return list(wrong_backgrounds(Mix(datasets, LEARNS, resolved)))


def test_a_background_that_weighs_nothing_anywhere_stops_the_training() -> None:
    (problem,) = silenced(real={"rpn_head.background": 0}, rendered={"rpn_head.loss_cls.background": 0})
    assert problem.startswith("weights: the background weighs 0 in rpn_head.loss_cls in every data set")
    assert len(silenced(real={"background": 0}, rendered={"background": 0})) == 2


def test_a_background_that_weighs_something_somewhere_or_once_is_right() -> None:
    assert not silenced(real={"background": 0})
    later = dict(schedule="step", points=[(0, 0.0), (5, 1.0)], by="epoch")
    assert not silenced(real={"background": 0}, rendered={"background": later})


def test_a_loss_that_weighs_nothing_at_all_is_advice_as_before() -> None:
    assert not silenced(real={"rpn_head.loss_cls": 0}, rendered={"rpn_head.loss_cls": 0})

"""A schedule's value is exact at its points, keeps between them, and never turns back on the way from one to the next."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headweights import WeightError
from headweights.weights.schedules import COURSES, Constant, Schedule, is_schedule, parse_weight

values = st.floats(0, 1e6, allow_subnormal=False)
times = st.lists(st.integers(0, 10_000), min_size=1, max_size=5, unique=True).map(sorted)
courses = st.sampled_from(["step", "linear", "cosine"])


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    of_points = draw(times)
    points = tuple((time, draw(values)) for time in of_points)
    return Schedule(draw(courses), points, draw(st.sampled_from(["iter", "epoch"])))


def at(schedule: Schedule, time: int) -> float:
    """The value at a time; what the schedule does not count is somewhere else altogether."""
    return schedule.at(time, 77_777) if schedule.by == "iter" else schedule.at(77_777, time)


@given(schedules())
def test_it_is_exact_at_its_points(schedule: Schedule) -> None:
    assert [at(schedule, time) for time, _ in schedule.points] == [value for _, value in schedule.points]


@given(schedules(), st.integers(0, 20_000))
def test_it_stays_between_its_points_values(schedule: Schedule, time: int) -> None:
    value = at(schedule, time)
    assert value >= 0
    at_points = [value for _, value in schedule.points]
    slack = 1e-12 * max(at_points)
    assert min(at_points) - slack <= value <= max(at_points) + slack


@given(schedules(), st.integers(0, 20_000))
def test_before_the_first_point_and_after_the_last_it_stays(schedule: Schedule, time: int) -> None:
    if time <= schedule.points[0][0]:
        assert at(schedule, time) == schedule.points[0][1]
    if time >= schedule.end:
        assert at(schedule, time) == schedule.points[-1][1]


@given(courses, values, values, st.integers(1, 60))
def test_between_two_points_it_never_turns_back(course: str, start: float, end: float, length: int) -> None:
    schedule = Schedule(course, ((0, start), (length, end)), "iter")
    way = [at(schedule, time) for time in range(length)]
    assert way == sorted(way, reverse=end < start)


@given(values, values, st.integers(1, 500), st.data())
def test_each_course_by_its_formula(start: float, end: float, length: int, data: st.DataObject) -> None:
    time = data.draw(st.integers(0, length - 1))
    expected = {
        "step": start,
        "linear": start + (end - start) * time / length,
        # The learning rate's cosine (SGDR) in its usual form: from the end's side.
        "cosine": end + (start - end) * (1 + math.cos(math.pi * time / length)) / 2,
    }
    for course, value in expected.items():
        schedule = Schedule(course, ((0, start), (length, end)), "iter")
        assert at(schedule, time) == pytest.approx(value, rel=1e-9, abs=1e-9 * max(start, end))


@given(schedules())
def test_what_is_written_back_reads_the_same(schedule: Schedule) -> None:
    assert parse_weight(schedule.as_given(), "here") == schedule


def test_a_cosine_in_numbers() -> None:
    schedule = parse_weight(dict(schedule="cosine", points=[(0, 1.0), (12, 0.1)], by="epoch"), "here")
    assert [round(schedule.at(0, epoch), 4) for epoch in (0, 3, 6, 9, 12, 100)] == [1.0, 0.8682, 0.55, 0.2318, 0.1, 0.1]
    assert str(schedule) == "1 to 0.1 (cosine, epoch 0 to 12)"
    assert schedule.end == 12


def test_a_number_and_a_constant_schedule_are_one() -> None:
    assert parse_weight(0.3, "here") == Constant(0.3) == parse_weight(dict(schedule="constant", points=[(5, 0.3)], by="iter"), "")
    assert Constant(0.3).at(5, 6) == 0.3
    assert (str(Constant(0.25)), Constant(0.25).as_given()) == ("0.25", 0.25)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(schedule="cosin", points=[(0, 1)], by="iter"), "schedule='cosin'"),
        (dict(schedule="cosine", points=[(0, 1)]), "has no 'by'"),
        (dict(points=[(0, 1)], by="iter"), "has no 'schedule'"),
        (dict(schedule="cosine", by="iter"), "has no 'points'"),
        (dict(schedule="cosine", points=[(0, 1)], by="iters"), "by='iters'"),
        (dict(schedule="cosine", points=[(0, 1)], by="iter", start=3), "an entry 'start'"),
        (dict(schedule="cosine", points=[], by="iter"), "points=[]"),
        (dict(schedule="cosine", points=[(0, 1), (0, 2)], by="iter"), "point 1 of the schedule is at iter 0"),
        (dict(schedule="cosine", points=[(9, 1), (3, 2)], by="epoch"), "point 1 of the schedule is at epoch 3"),
        (dict(schedule="cosine", points=[(-1, 1)], by="epoch"), "point 0 of the schedule is at epoch -1"),
        (dict(schedule="cosine", points=[(0.5, 1)], by="epoch"), "points.0.0=0.5"),
        (dict(schedule="cosine", points=[(0, 1), (3, -2)], by="iter"), "the value of point 1 of the schedule is -2"),
        (dict(schedule="cosine", points=[(0, float("nan"))], by="iter"), "finite"),
        (dict(schedule="cosine", points=[(0, True)], by="iter"), "a bool"),
        (dict(schedule="cosine", points=[(0, "1")], by="iter"), "type str"),
        (dict(schedule="cosine", points=[0, 1], by="iter"), "points.0=0"),
        (dict(schedule="cosine", points={0: 1}, by="iter"), "points={0: 1}"),
        (dict(schedule="constant", points=[(0, 1), (1, 1)], by="iter"), "has one point and not 2"),
        ({"schedule": "step", "points": [(0, 1)], "by": "iter", 3: 4}, "3"),
        ("0.3", "type str"),
        (None, "type NoneType"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said(wrong: Any, said: str) -> None:
    with pytest.raises(WeightError) as error:
        parse_weight(wrong, "weights: data set 'real'")
    assert str(error.value).startswith("weights: data set 'real'")
    assert said in str(error.value)


def test_what_is_meant_as_a_schedule() -> None:
    assert is_schedule({"points": []}) and is_schedule({"schedule": "step"})
    assert not any(is_schedule(given) for given in (1.0, {"rpn_head": 1.0}, {}, "schedule", None))
    assert COURSES == ("constant", "step", "linear", "cosine")

"""What each data set labels: how it is read, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from headweights import Address, AddressBook, WeightError
from headweights.mixture.labelled import labels_in_words, read_labelled, wrong_labels
from headweights.mixture.mix import DataSet, Mix, Moment
from headweights.weights.schedules import Constant, Weight, parse_weight

CLASSES = ("car", "person", "dog")
BOOK = AddressBook({"rpn_head": ["loss_cls"], "bbox_head": ["loss_cls", "loss_bbox"]})


def read(given: dict[str, Any], categories: Sequence[str] = ()) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    def of_file(name: str) -> Sequence[str]:
        if not categories:
            raise WeightError("nothing lists them.")
        return categories

    return read_labelled(given, {"cars": CLASSES, "people": CLASSES, "unknown": ()}, of_file, "LossWeightHook")


def test_the_classes_are_in_the_order_of_the_model() -> None:
    assert read({"cars": ["dog", "car"]}) == ({"cars": ("car", "dog")}, [])
    assert read({"cars": []}) == ({"cars": ()}, [])


def test_categories_are_those_of_the_file_that_the_training_has() -> None:
    assert read({"cars": "categories"}, ["bicycle", "person"]) == ({"cars": ("person",)}, [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"car": ["car"]}, "LossWeightHook: labelled: 'car' is no data set of this training. Nearest valid: 'cars'."),
        ({"cars": ["cat"]}, "labelled: 'cars': 'cat' is no class of this training. Nearest valid: 'car'. Its classes: 'car'"),
        ({"cars": "categories"}, "labelled: 'cars': nothing lists them."),
        ({"unknown": ["car"]}, "labelled: 'unknown': the names of its classes are not known."),
    ],
)
def test_mistakes(given: dict[str, Any], message: str) -> None:
    _, (problem,) = read(given)
    assert message in problem


def mix(block: dict[str, dict[Address, Weight]] | None = None, **labelled: Any) -> Mix:
    datasets = [
        DataSet(name, 10, 10.0, classes=CLASSES, labelled=labels, objects_by_class=counts)
        for name, (labels, counts) in labelled.items()
    ]
    return Mix(datasets, BOOK, block or {}, classifying=[("bbox_head", "loss_cls")])


def test_nothing_is_wrong_where_every_class_is_labelled_somewhere() -> None:
    assert not list(wrong_labels(mix(cars=(("car",), {"car": 3, "dog": 0}), rest=(None, None))))
    assert not list(wrong_labels(mix(cars=(("car",), None), people=(("person", "dog"), None))))


def test_objects_of_a_class_that_is_not_labelled() -> None:
    (problem,) = wrong_labels(mix(cars=(("car",), {"car": 3, "dog": 1200}), rest=(None, None)))
    assert problem == (
        "labelled: data set 'cars' has 1,200 objects of class 'dog', and labelled says that it does not label it. "
        "It labels 'car'."
    )


def test_a_class_that_nobody_labels() -> None:
    (problem,) = wrong_labels(mix(cars=(("car",), None), people=(("person",), None)))
    assert "no data set labels class 'dog'" in problem


def test_a_class_that_is_labelled_only_where_it_weighs_nothing() -> None:
    weights = {"people": {Address("bbox_head", "loss_cls"): Constant(0.0)}}
    problems = list(wrong_labels(mix(weights, cars=(("car",), None), people=(("person", "dog"), None))))
    assert len(problems) == 2
    assert "the data sets that label class 'person' weigh 0 in bbox_head.loss_cls" in problems[0]
    later = parse_weight(dict(schedule="linear", points=[(0, 0.0), (5, 1.0)], by="epoch"), "")
    fading_in = {"people": {Address("bbox_head", "loss_cls"): later}}
    assert not list(wrong_labels(mix(fading_in, cars=(("car",), None), people=(("person", "dog"), None))))


def test_what_is_in_force_has_the_indices_of_the_classes() -> None:
    force = mix(cars=(("car",), None), rest=(None, None)).in_force(Moment())
    assert force.unlabelled == {"cars": frozenset({1, 2})}
    assert force.classifying == {"bbox_head"}


@pytest.mark.parametrize(
    ("labelled", "classes", "words"),
    [
        (CLASSES, CLASSES, "all"),
        ((), CLASSES, "nothing"),
        (("car", "dog"), CLASSES, "car, dog"),
        ([str(n) for n in range(78)], [str(n) for n in range(80)], "all but 78, 79"),
        ([str(n) for n in range(40)], [str(n) for n in range(80)], "40 of 80"),
    ],
)
def test_in_words(labelled: Sequence[str], classes: Sequence[str], words: str) -> None:
    assert labels_in_words(labelled, classes) == words

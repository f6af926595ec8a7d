"""Weights by image: what is read, what it matches, and that bad files are errors that name the place."""

from __future__ import annotations

import contextlib
import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headweights import WeightError
from headweights.images.image import ImageInfo, checked_weights
from headweights.images.lookup import table_of_images
from headweights.images.sources import read
from headweights.images.table import ImageTable, TableBuilder

IMAGES = [
    ImageInfo("data/real/a/1.png", 11),
    ImageInfo("data/real/b/1.png", 12),
    ImageInfo("data/real/b/2.png", 13),
    ImageInfo("data/real/night/3.png", 14),
]
NOTHING: dict[str, float] = {}


def found(source: Any, images: list[ImageInfo] = IMAGES) -> list[dict[str, float]]:
    table = table_of_images(source, images, "real")
    assert len(table) == len(images)
    return [table.weights(number) for number in range(len(table))]


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_dict_by_name_path_id_and_glob() -> None:
    source = {
        "a/1.png": 0.25,
        12: {"rpn_head": 0.3},
        "night/*": 2,
        "2.png": {"roi_head.bbox_head.loss_weight": 0, "loss_weight": 4},
    }
    assert found(source) == [{"": 0.25}, {"rpn_head": 0.3}, {"roi_head.bbox_head": 0, "": 4}, {"": 2}]


@pytest.mark.parametrize("name", ["data/real/b/2.png", "/data/real/b/2.png", "./b/2.png", "real/b/2.png", "2.png", "13", 13])
def test_a_name_is_the_end_of_a_path_or_an_id(name: Any) -> None:
    assert found({name: 0.5}) == [NOTHING, NOTHING, {"": 0.5}, NOTHING]


@pytest.mark.parametrize(
    ("glob", "images"),
    [("*.png", [0, 1, 2, 3]), ("b/*", [1, 2]), ("real/*/1.png", [0, 1]), ("?.png", [0, 1, 2, 3]), ("[12].png", [0, 1, 2])],
)
def test_a_glob_matches_the_end_of_a_path_that_starts_at_a_folder(glob: str, images: list[int]) -> None:
    assert [number for number, weights in enumerate(found({glob: 0.5})) if weights] == images


def test_a_name_wins_over_a_glob_and_the_first_glob_over_the_next() -> None:
    assert found({"b/*": 1.5, "*.png": 3, "b/2.png": 0}) == [{"": 3}, {"": 1.5}, {"": 0}, {"": 3}]
    assert found({"*.png": 3, "b/*": 1.5}) == [{"": 3}] * 4  # the second is left nothing, which is no error


def test_csv_by_file_name(tmp_path: Path) -> None:
    text = "file_name,weight,roi_head.bbox_head\na/1.png,0.5,\nnight/*,,0.25\n2.png, 3 ,1\n"
    assert found(written(tmp_path, "w.csv", text)) == [
        {"": 0.5},
        NOTHING,
        {"": 3, "roi_head.bbox_head": 1},
        {"roi_head.bbox_head": 0.25},
    ]


def test_csv_by_image_id(tmp_path: Path) -> None:
    text = "\ufeffrpn_head.loss_weight,image_id\n0.5,14\n\n0.1,11\n"
    assert found(written(tmp_path, "w.CSV", text)) == [{"rpn_head": 0.1}, NOTHING, NOTHING, {"rpn_head": 0.5}]


def test_json(tmp_path: Path) -> None:
    path = written(tmp_path, "w.json", json.dumps({"a/1.png": 0.5, "14": {"rpn_head": 2}}))
    assert found(path) == [{"": 0.5}, NOTHING, NOTHING, {"rpn_head": 2}]
    assert found(Path(path)) == found(path)


def by_quality(info: Any) -> Any:
    return {11: 0.5, 12: {"rpn_head": 0.1}}.get(info.get("quality"))


def test_a_function_of_the_images_info() -> None:
    images = [ImageInfo(image.path, image.img_id, info={"quality": image.img_id}) for image in IMAGES]
    assert found(by_quality, images) == [{"": 0.5}, {"rpn_head": 0.1}, NOTHING, NOTHING]
    assert found("math:isnan", IMAGES[:0]) == []


def test_what_the_annotations_give_is_overlaid_address_by_address() -> None:
    images = [ImageInfo("1.png", 1, {"": 0.5, "rpn_head": 2}), ImageInfo("2.png", 2, {"": 3})]
    assert found({"1.png": 0.25}, images) == [{"": 0.25, "rpn_head": 2}, {"": 3}]
    assert found(None, images) == [{"": 0.5, "rpn_head": 2}, {"": 3}]
    assert found(lambda info: {"rpn_head": 7}, images) == [{"": 0.5, "rpn_head": 7}, {"": 3, "rpn_head": 7}]


BAD_FILES = {
    "absent.csv": (None, "cannot be read"),
    "absent.json": (None, "cannot be read"),
    "empty.csv": ("", "first line"),
    "nokey.csv": ("name,weight\n", "file_name or image_id"),
    "twokeys.csv": ("file_name,image_id,weight\n", "file_name or image_id"),
    "noweight.csv": ("file_name\n1.png\n", "columns of weights"),
    "twice.csv": ("file_name,rpn_head,rpn_head.loss_weight\n", "columns of weights"),
    "short.csv": ("file_name,weight\na/1.png\n", "line 2 has 1 cells"),
    "word.csv": ("file_name,weight\na/1.png,high\n", "line 2: 'high' is not a number"),
    "nan.csv": ("file_name,weight\na/1.png,nan\n", "finite"),
    "huge.csv": ("file_name,weight\na/1.png,1e999\n", "finite"),
    "negative.csv": ("file_name,weight\na/1.png,-1\n", "not negative"),
    "nameless.csv": ("file_name,weight\n,1\n", "no file_name"),
    "again.csv": ("file_name,weight\na/1.png,1\n./a/1.png,1\n", "'a/1.png' twice"),
    "quote.csv": ('file_name,weight\n"a/1.png,1\n', "not valid CSV"),
    "unknown.csv": ("file_name,weight\na/1.pgn,1\nzzz,1\n", "'a/1.pgn'.*1 more of its 2 entries. Nearest: 'a/1.png'"),
    "unknown_id.csv": ("image_id,weight\n111,1\n", "'111'.*Nearest: '11'"),
    "glob.csv": ("file_name,weight\ndusk/*,1\n", "'dusk/\\*'"),
    "several.csv": ("file_name,weight\n1.png,1\n", "'1.png', and 2 images are called that.*real/a/1.png.*real/b/1.png"),
    "two_names.csv": ("file_name,weight\n2.png,1\nb/2.png,1\n", "names image 'data/real/b/2.png' twice"),
    "list.json": ("[1]", "holds a list"),
    "broken.json": ('{"a/1.png": ', "not valid JSON"),
    "twice.json": ('{"a/1.png": 1, "a/1.png": 2}', "'a/1.png' twice"),
    "bool.json": ('{"a/1.png": true}', "a bool"),
    "string.json": ('{"a/1.png": "0.5"}', "'0.5' of type str"),
    "null.json": ('{"a/1.png": null}', "None"),
    "nan.json": ('{"a/1.png": NaN}', "finite"),
    "digits.json": ('{"a/1.png": 1%s}' % ("0" * 400), "finite"),
    "nested.json": ('{"a/1.png": {"rpn_head": {"x": 1}}}', "'rpn_head'"),
    "deep.json": ("[" * 100_000, "not valid JSON"),
    "table.json": ('{"a/1.png": {"rpn_head": 1, "rpn_head.loss_weight": 1}}', "'rpn_head' is given twice"),
    "wrong.txt": ("x", "path of a .csv or .json file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(tmp_path: Path, name: str) -> None:
    text, said = BAD_FILES[name]
    if text is not None:
        written(tmp_path, name, text)
    with pytest.raises(WeightError, match=said) as error:
        found(str(tmp_path / name))
    assert name in str(error.value) or "names image" in str(error.value)
    assert "'real'" in str(error.value)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    for name in ("w.csv", "w.json"):
        (tmp_path / name).write_bytes(b"file_name,weight\n\xff\xfe,1\n")
        with pytest.raises(WeightError):
            found(str(tmp_path / name))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (3, "images is 3"),
        ({"a/1.png": True}, "a bool"),
        ({"a/1.png": {3: 1}}, "3 is not the address"),
        ({True: 1}, "True is not the name"),
        ({1.5: 1}, "1.5 is not the name"),
        ({"": 1}, "'' is not the name"),
        ({"14": 1, "night/3.png": 1}, "twice: 'night/3.png' and '14'"),
        ("no_such_module:weigh", "cannot be imported"),
        ("math:no_such", "cannot be imported"),
        ("math:pi", "is not a function"),
        (":", "cannot be imported"),
        (lambda info: 1 / 0, "ZeroDivisionError"),
        (lambda info: "much", "'much' of type str"),
        (lambda info: -1, "not negative"),
    ],
    # Not by the address of a function: all workers of a test run name a test alike.
    ids=lambda value: "function" if callable(value) else str(value),
)
def test_bad_sources(source: Any, said: str) -> None:
    with pytest.raises(WeightError, match=said):
        found(source)


def test_a_table_is_small_pickles_and_gives_back_the_numbers_it_was_given() -> None:
    rng = random.Random(0)
    given_weights = [rng.choice([NOTHING, {"": 0.3}, {"rpn_head": 0.1, "": 0.7}]) for _ in range(10_000)]
    table = table_of_images(
        None, [ImageInfo(f"{number}.png", number, weights) for number, weights in enumerate(given_weights)], "d"
    )
    for found_table in (table, pickle.loads(pickle.dumps(table))):
        assert [found_table.weights(number) for number in range(len(table))] == given_weights
    assert table.nbytes < 1.01 * len(table) + 100
    assert set(table.targets) == {"", "rpn_head"}
    every = table.array[:, table.targets.index("")]
    assert every.dtype == np.float32
    assert every.tolist() == [np.float32(weights.get("", 1)) for weights in given_weights]
    for targets in (("rpn_head", ""), ("",), ("roi_head",), ()):
        means = [next((weights[target] for target in targets if target in weights), 1) for weights in given_weights]
        assert table.mean_weight(targets) == pytest.approx(sum(means) / len(means))


@pytest.mark.parametrize("number", [-1, 1])
def test_a_table_of_another_data_set(number: int) -> None:
    with pytest.raises(WeightError, match="1 images"):
        table_of_images(None, IMAGES[:1], "real").weights(number)


def test_a_table_of_no_image() -> None:
    table = table_of_images(None, [], "none")
    assert (len(table), table.mean_weight(), table.array.shape) == (0, 1.0, (0, 0))


weights_strategy = st.dictionaries(
    st.sampled_from(["", "rpn_head", "roi_head.bbox_head"]), st.floats(0, 1e6) | st.integers(0, 9), max_size=3
)


@given(st.lists(weights_strategy, max_size=30))
def test_whatever_goes_into_a_table_comes_out(rows: list[dict[str, float]]) -> None:
    builder = TableBuilder()
    for row in rows:
        builder.add(row)
    table = builder.table()
    assert isinstance(table, ImageTable)
    assert [table.weights(number) for number in range(len(table))] == rows


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60), suffix=st.sampled_from(["csv", "json"]))
def test_garbage_in_a_file_is_a_weight_error(data: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"garbage.{suffix}"
    path.write_bytes((b"file_name,weight\n" if suffix == "csv" and len(data) % 2 else b"") + data)
    refused_or(lambda: found(str(path)))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(value=json_values)
def test_any_json_is_weights_or_a_weight_error(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    refused_or(lambda: found(str(path)))
    refused_or(lambda: found(value))
    refused_or(lambda: checked_weights(value, "it"))


def refused_or(do: Any) -> None:
    with contextlib.suppress(WeightError):
        do()


def test_names_are_found_without_the_list_of_images() -> None:
    """What a pipeline without hook does: only what is looked up is known."""
    names, weights = read({f"{number}.png": number for number in range(1000)} | {"x/*": 5000})
    assert len(names) == 1001
    weights = pickle.loads(pickle.dumps(weights))
    assert weights.of(ImageInfo("a/b/731.png")) == {"": 731}
    assert weights.of(ImageInfo("a/x/y.png")) == {"": 5000}
    assert weights.of(ImageInfo("a/b/1731.png")) == {}

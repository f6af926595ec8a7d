"""COCO files that list the classes in another order than the config, or lack some."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.coco import write_dataset

# The classes of the config.
CLASSES = ("car", "person", "dog")


def without(*lacking: str) -> tuple[str, ...]:
    """The classes of the config without some."""
    return tuple(name for name in CLASSES if name not in lacking)


def in_file_order(folder: Path, name: str, listed: Sequence[str], images: int = 4, empty: Sequence[int] = ()) -> dict[str, Any]:
    """Writes a data set whose file lists these classes in this order; returns its config, in which `CLASSES` are the classes.

    The id of a category has nothing to do with its place, and the width of a box tells its category: :func:`names_of_objects`.

    Args:
        folder: Where to write it.
        name: Its name.
        listed: The classes of the file.
        images: How many images it has.
        empty: The images without objects.
    """
    described = write_dataset(folder, name, images=images, classes=tuple(listed) or ("thing",))
    path = folder / f"{name}.json"
    file = json.loads(path.read_text())
    ids = [90 - 10 * place for place in range(len(listed))]
    file["categories"] = [dict(id=id_, name=category) for id_, category in zip(ids, listed)]
    file["annotations"] = [
        # pycocotools takes an object with the id 0 for unmatched
        dict(annotation, id=annotation["id"] + 1, category_id=ids[annotation["category_id"]], bbox=_box(annotation, ids))
        for annotation in file["annotations"]
        if listed and annotation["image_id"] not in empty
    ]
    path.write_text(json.dumps(file))
    return dict(described, metainfo=dict(classes=CLASSES, dataset_name=name))


def _box(annotation: dict[str, Any], ids: Sequence[int]) -> list[float]:
    x, y, _, height = annotation["bbox"]
    return [x, y, ids[annotation["category_id"]] / 4, height]


def names_of_objects(data: Any) -> list[tuple[str, str]]:
    """The name that an object has in the file, and that of its label, for every object of a loaded data set."""
    names = data.file_categories if len(data) else {}
    infos = [data.get_data_info(number) for number in range(len(data))]
    frames = [frame for info in infos for frame in info.get("images", [info])]
    return [
        (names[round(4 * (instance["bbox"][2] - instance["bbox"][0]))], CLASSES[instance["bbox_label"]])
        for frame in frames
        for instance in frame["instances"]
    ]

"""What a COCO file says of weights arrives in the data set, at the right image and the right object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from support.coco import write_dataset

from headweights import WeightError

CLASSES = tuple(f"class {number}" for number in range(12))


def dataset(folder: Path, change: Any = None, **more: Any) -> Any:
    config = write_dataset(folder, "real", classes=CLASSES, **more)
    if change is not None:
        path = folder / "real.json"
        described = json.loads(path.read_text())
        change(described)
        path.write_text(json.dumps(described))
    return DATASETS.build(config)


def objects(data: Any) -> dict[int, Any]:
    return {
        instance["bbox_label"]: instance.get("loss_weight", "none")
        for number in range(len(data))
        for instance in data.get_data_info(number)["instances"]
    }


def test_images_and_objects(tmp_path: Path) -> None:
    data = dataset(tmp_path, image_weights={0: 0.5, 2: {"rpn_head.loss_weight": 2, "": 3}}, object_weights={1: 0.25, 11: 0})
    assert data.has_loss_weights is True
    infos = [data.get_data_info(number) for number in range(4)]
    assert [info.get("loss_weight") for info in infos] == [{"": 0.5}, None, {"rpn_head": 2, "": 3}, None]
    expected: dict[int, Any] = dict.fromkeys(range(3, 9), "none")
    expected.update({0: 1, 1: 0.25, 2: 1, 9: 1, 10: 1, 11: 0})
    assert objects(data) == expected


def test_annotations_that_are_dropped_do_not_shift_the_weights(tmp_path: Path) -> None:
    def drop(described: dict[str, Any]) -> None:
        annotations = described["annotations"]
        annotations[0]["ignore"] = True
        annotations[4]["bbox"][2:] = [0.5, 0.5]
        annotations[6]["category_id"] = 999
        annotations[7]["iscrowd"] = 1
        annotations[9]["area"] = 0

    data = dataset(tmp_path, drop, object_weights={number: number / 16 for number in range(12)})
    assert objects(data) == {number: number / 16 for number in (1, 2, 3, 5, 7, 8, 10, 11)}


def test_without_weights_nothing_is_added(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    assert data.has_loss_weights is False
    keys = set(data.get_data_info(0))
    assert keys == {"img_path", "img_id", "seg_map_path", "height", "width", "instances", "sample_idx"}


@pytest.mark.parametrize("value", [-1, True, "0.5", float("nan"), float("inf"), None, [1], {"x": {}}, {"rpn_head": -1}])
def test_an_image_that_weighs_nonsense_stops_the_data_set(tmp_path: Path, value: Any) -> None:
    with pytest.raises(WeightError, match=r"real\.json: image 2 \(2\.png\): loss_weight"):
        dataset(tmp_path, image_weights={2: value})


@pytest.mark.parametrize("value", [-1, True, "0.5", float("nan"), float("inf"), None, {"rpn_head": 1}])
def test_an_object_that_weighs_nonsense_too(tmp_path: Path, value: Any) -> None:
    with pytest.raises(WeightError, match=r"real\.json: image 1 \(1\.png\): loss_weight of annotation 5"):
        dataset(tmp_path, object_weights={5: value})


def test_a_subclass_that_parses_itself(tmp_path: Path) -> None:
    class Reversed(CocoDataset):  # type: ignore[misc]
        def parse_data_info(self, raw: Any) -> Any:
            """Without the first object of an image."""
            return super().parse_data_info({**raw, "raw_ann_info": [ann for ann in raw["raw_ann_info"] if ann["id"] % 3]})

    config = write_dataset(tmp_path, "real", classes=CLASSES, object_weights={number: number / 16 for number in range(12)})
    config.pop("type")
    assert objects(Reversed(**config)) == {number: number / 16 for number in range(12) if number % 3}


@pytest.mark.parametrize("lazy", [False, True])
def test_a_subclass_that_reorders_annotations(tmp_path: Path, lazy: bool) -> None:
    class Sorted(CocoDataset):  # type: ignore[misc]
        def parse_data_info(self, raw: Any) -> Any:
            """The last object of an image first."""
            return super().parse_data_info({**raw, "raw_ann_info": raw["raw_ann_info"][::-1]})

    weights = {number: number / 16 for number in range(12)}
    config = write_dataset(tmp_path, "real", classes=CLASSES, object_weights=weights)
    config.pop("type")
    data = Sorted(**config, lazy_init=lazy)
    assert objects(data) == weights
    assert "parse_data_info" not in vars(data)
    assert [instance["bbox_label"] for instance in data.get_data_info(0)["instances"]] == [2, 1, 0]


def test_a_video_data_set_that_refuses_images_without_objects(tmp_path: Path) -> None:
    box = dict(bbox=[5, 5, 40, 40], area=1600, iscrowd=0, category_id=1, video_id=1, image_id=1, mot_conf=1.0)
    annotations = [dict(box, id=n, instance_id=n, visibility=n / 4, loss_weight=n / 8) for n in range(1, 5)]
    image = dict(id=1, file_name="0.png", height=96, width=96, frame_id=0, video_id=1)
    described = dict(
        images=[image], annotations=annotations, categories=[dict(id=1, name="thing")], videos=[dict(id=1, name="v")]
    )
    for number, annotation in enumerate(annotations):
        annotation["bbox"] = [5 + number, 5, 40, 40]
    (tmp_path / "mot.json").write_text(json.dumps(described))
    config = dict(data_root=str(tmp_path), ann_file="mot.json", data_prefix=dict(img_path=""), metainfo=dict(classes=("thing",)))
    data = DATASETS.build(dict(type="MOTChallengeDataset", visibility_thr=0.6, **config))
    (frame,) = data.get_data_info(0)["images"]
    assert [instance["loss_weight"] for instance in frame["instances"]] == [3 / 8, 4 / 8]


def test_a_subclass_that_makes_two_objects_of_one_is_told_that_weights_cannot_follow(tmp_path: Path) -> None:
    class Strange(CocoDataset):  # type: ignore[misc]
        def parse_data_info(self, raw: Any) -> Any:
            """With an object more than there are annotations."""
            parsed = super().parse_data_info({"raw_img_info": raw["raw_img_info"], "raw_ann_info": []})
            parsed["instances"] = [dict(bbox=[0, 0, 9, 9], bbox_label=0, ignore_flag=0)] * 5
            return parsed

    config = write_dataset(tmp_path, "real", classes=CLASSES, object_weights={0: 0.5})
    config.pop("type")
    with pytest.raises(WeightError, match="Strange makes 5 objects of 3 annotations"):
        Strange(**config)

"""Every class of mmdetection, mmengine and mmcv is as it was once headweights is uninstalled."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.xdist_group("install")

# Runs in a process of its own, in which nothing has imported headweights yet.
SCRIPT = """
import gc, json, sys
import mmcv, mmcv.transforms, mmdet.models, mmdet.datasets, mmengine.runner
from mmdet.utils import register_all_modules
register_all_modules()

def foreign():
    classes = [cls for cls in gc.get_objects() if isinstance(cls, type)]
    roots = ("mmdet", "mmengine", "mmcv", "torch")
    return {cls: dict(vars(cls)) for cls in classes if str(cls.__module__).split(".")[0] in roots}

def changed(before):
    now = foreign()
    found = {}
    for cls, attributes in before.items():
        names = {name for name in {*attributes, *now[cls]} if attributes.get(name) is not now[cls].get(name)}
        if names:
            found[f"{cls.__module__}.{cls.__qualname__}"] = sorted(names)
    return found

before = foreign()
import headweights.mmdet
from headweights.mmdet.install import PATCHES
from mmdet.models.detectors import BaseDetector
installed = changed(before)
headweights.mmdet.install()
twice = changed(before)
headweights.mmdet.uninstall()

class Late(BaseDetector):
    def loss(self, batch_inputs, batch_data_samples): ...
    predict = _forward = loss

print(json.dumps(dict(
    owners=[f"{patch.owner.__module__}.{patch.owner.__qualname__}" for patch in PATCHES],
    families=[f"{patch.owner.__module__}.{patch.owner.__qualname__}" for patch in PATCHES if patch.method is None],
    installed=installed, twice=twice == installed, uninstalled=changed(before), late=hasattr(Late.loss, "_publishes_batch"),
)))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    out = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])  # type: ignore[no-any-return]


def test_the_list_of_patches_is_complete(found: dict[str, dict[str, list[str]]]) -> None:
    """Only the classes in the list are touched; of the three families also their subclasses, in their loss methods."""
    for name, attributes in found["installed"].items():
        if name not in found["owners"]:
            assert all("loss" in attribute for attribute in attributes), (name, attributes)
    touched = [name for name, attributes in found["installed"].items() if "__init_subclass__" in attributes]
    assert sorted(touched) == sorted(found["families"])
    assert set(found["owners"]) <= set(found["installed"])


def test_installing_twice_changes_nothing_more(found: dict[str, object]) -> None:
    assert found["twice"] is True


def test_uninstall_puts_everything_back(found: dict[str, object]) -> None:
    assert found["uninstalled"] == {}
    assert found["late"] is False

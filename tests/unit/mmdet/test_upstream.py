"""What the wing touches of mmdetection is in upstream's wheel too: its classes, methods and parameters, read without running."""

from __future__ import annotations

import ast
import inspect
import sys
import zipfile
from functools import cache
from pathlib import Path

import mmdet
import pytest
from mmdet.registry import MODELS

from headweights.mmdet.weighting.entry_points import LOSS_METHODS

SRC = Path(__file__).resolve().parents[3] / "src" / "headweights" / "mmdet"
# Families that only the maintained fork has would be listed here; there are none.
ONLY_IN_THE_FORK: set[str] = set()


@cache
def upstream() -> dict[str, str]:
    """The modules of upstream's mmdet by their path in the wheel; of the installed mmdet where that is upstream's."""
    wheels = list((Path(sys.prefix) / "upstream").glob("mmdet-3.*.whl"))
    if not wheels:
        root = Path(mmdet.__file__).parent
        assert mmdet.__version__ == "3.3.0", "set-up downloads upstream's wheel: run `make setup`"
        return {str(path.relative_to(root.parent)): path.read_text() for path in root.rglob("*.py")}
    with zipfile.ZipFile(wheels[0]) as wheel:
        return {name: wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".py")}


@cache
def classes() -> dict[str, ast.ClassDef]:
    return {
        node.name: node
        for name, text in upstream().items()
        if name.startswith("mmdet/")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    }


def method(cls: str, name: str) -> ast.FunctionDef | None:
    """A method of a class of upstream, or of its ancestors there."""
    node = classes().get(cls)
    if node is None:
        return None
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == name:
            return part
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return next((found for found in (method(base, name) for base in bases) if found is not None), None)


def parameters(function: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]


@pytest.mark.parametrize("family", sorted(set(LOSS_METHODS) - ONLY_IN_THE_FORK))
def test_every_family_has_its_seam_there(family: str) -> None:
    assert family in classes()
    row = LOSS_METHODS[family]
    for seam in (row, *row.also):
        function = method(family, seam.name)
        if function is None:
            assert family in ("BaseSemanticHead",), f"{family}.{seam.name}"
            continue
        named = {*(seam.predictions or ()), *seam.layouts, *seam.handed_on, *seam.feeds}
        subclasses = {name for name, node in classes().items() if any(getattr(base, "id", "") == family for base in node.bases)}
        known = set(parameters(function))
        for subclass in subclasses:  # a family's row names what its members have (DETRHead's rows name DINOHead's)
            known |= set(parameters(method(subclass, seam.name) or function))
        assert named <= known, f"{family}.{seam.name} has no {named - known}"
        for name in seam.methods:
            assert method(family, name) is not None


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        ("AnchorHead", ["get_targets", "loss_by_feat", "loss_by_feat_single"]),
        ("BBoxHead", ["get_targets", "loss", "loss_and_target"]),
        ("DETRHead", ["loss_by_feat", "loss_by_feat_single"]),
        ("DINOHead", ["_loss_dn_single"]),
        ("PISARoIHead", ["_bbox_forward"]),
    ],
)
def test_methods_that_weights_ride_on_have_the_same_parameters(cls: str, names: list[str]) -> None:
    for name in names:
        there = method(cls, name)
        assert there is not None, f"{cls}.{name}"
        here = list(inspect.signature(getattr(MODELS.get(cls), name)).parameters)
        assert parameters(there) == here, f"{cls}.{name}"


def test_every_import_from_mmdet_is_there() -> None:
    """By name: a class or function of that name is defined in upstream's package, below the module it is imported from."""
    for path in SRC.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mmdet":
                below = node.module.replace(".", "/")  # type: ignore[union-attr]
                texts = [text for name, text in upstream().items() if name.startswith(below)]
                assert texts, f"{path.name}: {node.module}"
                for alias in node.names:
                    defined = any(
                        f"class {alias.name}(" in text or f"def {alias.name}(" in text or f"{alias.name} =" in text
                        for text in texts
                    )
                    is_module = any(name.startswith(f"{below}/{alias.name}") for name in upstream())
                    assert defined or is_module, f"{path.name}: {node.module}.{alias.name}"

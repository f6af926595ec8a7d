"""Mistakes with the commands and with mmdetection, as a new user makes them."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.coco import add_fields, pipeline, runner_config, write_dataset
from support.detectors import RETINANET
from support.logs import write_run
from support.mistakes import Mistake, check_message, command

CLASSES = ("cat", "dog")
SCRIPTS = Path(__file__).parents[2] / "scripts"


def block(change: Callable[[Any, Path], None] = lambda config, folder: None, **hook: Any) -> Callable[[Path], str]:
    """Checks a config with this block, after a change to it or to the files beside it."""

    def make(folder: Path) -> str:
        data = [
            dict(write_dataset(folder, name, images=2, classes=CLASSES), pipeline=pipeline()) for name in ("real", "rendered")
        ]
        hooks = [dict(type="LossWeightHook", **{"weights": {}, **hook})]
        config = runner_config(folder / "run", data, model=RETINANET, custom_hooks=hooks)
        change(config, folder)
        path = folder / "config.py"
        config.dump(path)
        return command("check", path, code=2)

    return make


def annotations(**change: Any) -> Callable[[Any, Path], None]:
    """Changes entries of the annotation file of `rendered`."""

    def make(config: Any, folder: Path) -> None:
        path = folder / "rendered.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    return make


def without_annotations(config: Any, folder: Path) -> None:
    (folder / "rendered.json").unlink()


def hook_twice(config: Any, folder: Path) -> None:
    config.custom_hooks = [*config.custom_hooks, dict(type="LossWeightHook", weights=dict(real=0.5))]


def without_import(config: Any, folder: Path) -> None:
    config.pop("custom_imports")


def early_field(config: Any, folder: Path) -> None:
    config.train_dataloader.dataset.datasets[0].pipeline.insert(-1, add_fields(bbox_head=0.5))


def model_type(config: Any, folder: Path) -> None:
    config.model.bbox_head.type = "RetinaHaed"


def file(content: str, name: str = "config.py", code: int = 2) -> Callable[[Path], str]:
    """Checks a file with this content."""

    def make(folder: Path) -> str:
        (folder / name).write_text(content)
        return command("check", folder / name, code=code)

    return make


def report_of_folder_of_runs(folder: Path) -> str:
    for name in ("unweighted", "weighted"):
        write_run(folder / name, {}, steps=(10,))
    return command("report", folder)


def report_to(out: str) -> Callable[[Path], str]:
    """Writes a report to a file that cannot be written."""

    def make(folder: Path) -> str:
        write_run(folder / "run", {}, steps=(10,))
        return command("report", folder / "run", "--out", out, code=1)

    return make


def report_on_full_disk(folder: Path) -> str:
    """A limit of the size of files stands in for a full disk: the same error, at the same place."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    write_run(folder / "run", {}, steps=(10,))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        said = command("report", folder / "run", code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((folder / "run").glob("report.html*"))
    return said


def no_compiler(folder: Path) -> str:
    spec = importlib.util.spec_from_file_location("setup_env", SCRIPTS / "setup_env.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(module.SetupError) as error:
        patch.setenv("CXX", "no-such-compiler")
        module.need_compiler()
    return str(error.value)


def falling(**change: Any) -> dict[str, Any]:
    """A block with a schedule."""
    return dict(real={**dict(schedule="cosine", points=[(0, 1.0), (1, 0.1)], by="epoch"), **change})


MISTAKES = [
    # The command line.
    Mistake(
        "a wrong path to the config",
        lambda folder: command("check", folder / "confg.py"),
        ("no such file", "name a training config"),
    ),
    Mistake(
        "a folder in place of the config", lambda folder: command("check", folder), ("it is a folder", "name a training config")
    ),
    Mistake("a config that is no Python", file("model = dict(\n"), ("cannot be read: SyntaxError", "line 1")),
    Mistake(
        "a config of something else", file("batch_size = 8\n"), ("model: the config has none", "training config of mmdetection")
    ),
    Mistake("a typo in a command", lambda folder: command("chek", "config.py"), ("No such command 'chek'", "check")),
    Mistake(
        "a typo in an option", lambda folder: command("check", "config.py", "--strct"), ("No such option: --strct", "--strict")
    ),
    Mistake("Ctrl-C while the config is read", file("import os\nos.kill(os.getpid(), 2)\n", code=130), ("Stopped.",)),
    # The block.
    Mistake("a typo in a data set", block(weights=dict(reel=0.5)), ("'reel' is no data set", "Nearest valid: 'real'")),
    Mistake("a typo in a head", block(weights=dict(real={"bbox_haed": 0.5})), ("'bbox_haed'", "Nearest valid: 'bbox_head'")),
    Mistake("a typo in a loss", block(weights=dict(real={"bbox_head.los_cls": 0.5})), ("Nearest valid: 'bbox_head.loss_cls'",)),
    Mistake(
        "a head of another detector", block(weights=dict(real=dict(roi_head=0.5))), ("'roi_head'", "Valid here: 'bbox_head'")
    ),
    Mistake("a typo in a schedule", block(weights=falling(schedule="cosin")), ("schedule='cosin'", "'linear' or 'cosine'")),
    Mistake("a typo in a unit of time", block(weights=falling(by="epochs")), ("by='epochs'", "'iter' or 'epoch'")),
    Mistake("a typo in an option of the hook", block(normalise=True), ("no argument 'normalise'", "Nearest valid: 'normalize'")),
    Mistake("a typo in the target", block(target="rael"), ("target: 'rael'", "Nearest valid: 'real'")),
    Mistake(
        "a typo in a labelled class", block(labelled=dict(real=["cta", "dog"])), ("'cta' is no class", "Nearest valid: 'cat'")
    ),
    Mistake("a class in place of a list", block(labelled=dict(real="cat")), ("labelled is {'real': 'cat'}", "[<class>, ...]")),
    Mistake("weights as a string", block(weights="real=0.2"), ("weights is 'real=0.2'", "dict(<data set>=<weight>, ...)")),
    Mistake("a weight as a string", block(weights=dict(real="0.2")), ("'0.2' of type str", "such as 0.3")),
    Mistake("weights as a list", block(weights=[1.0, 0.2]), ("weights is [1.0, 0.2]", "dict(<data set>=<weight>, ...)")),
    Mistake("a negative weight", block(weights=dict(real=-0.2)), ("is -0.2", "not negative (0 takes the images out")),
    Mistake("a weight that is infinite", block(weights=dict(real=1e39)), ("is 1e+39", "finite")),
    Mistake("the hook twice", block(hook_twice), ("configured twice", "put all weights into one block")),
    Mistake("no import of headweights", block(without_import), ("custom_imports = dict(imports=['headweights.mmdet']",)),
    Mistake("a field before PackDetInputs", block(early_field), ("AddFieldToImgMetas", "put this step after it")),
    Mistake("a typo in the type of a head", block(model_type), ("'RetinaHaed' is not registered", "Nearest valid: 'RetinaHead'")),
    # The data.
    Mistake("a wrong path to annotations", block(without_annotations), ("data set 'rendered'", "rendered.json' does not exist")),
    Mistake("a data set without images", block(annotations(images=[], annotations=[])), ("it has no images", "Take it out")),
    Mistake(
        "classes in another order",
        block(annotations(categories=[dict(id=0, name="dog"), dict(id=1, name="cat")])),
        ("'dog' is labelled as 'cat'", "classes='by name'"),
    ),
    Mistake("a wrong path to weights of images", block(images=dict(real="q.csv")), ("q.csv cannot be read: No such file",)),
    # The report.
    Mistake(
        "a report of no folder",
        lambda folder: command("report", folder / "rnu"),
        ("no such folder", "name the folder of a training run"),
    ),
    Mistake(
        "a report of a folder without runs",
        lambda folder: command("report", folder),
        ("contains no training log", "scalars.json"),
    ),
    Mistake(
        "a report of the folder above the runs", report_of_folder_of_runs, ("contains runs: unweighted, weighted", "such as")
    ),
    Mistake("a report to a folder that cannot be written", report_to("/proc/report.html"), ("cannot be written", "--out FILE")),
    Mistake("a report on a full disk", report_on_full_disk, ("cannot be written (File too large)", "--out FILE")),
    # The set-up.
    Mistake("no compiler", no_compiler, ("no C++ compiler", "apt-get install g++")),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_the_message_says_what_is_wrong_and_what_to_do(mistake: Mistake, tmp_path: Path) -> None:
    check_message(mistake, tmp_path)


def test_boxes_of_other_classes_are_no_error_but_advice(tmp_path: Path) -> None:
    """mmdetection drops them without a word."""
    other = annotations(categories=[dict(id=0, name="kitten"), dict(id=1, name="puppy")])
    data = [dict(write_dataset(tmp_path, name, images=2, classes=CLASSES), pipeline=pipeline()) for name in ("real", "rendered")]
    other(None, tmp_path)
    path = tmp_path / "config.py"
    config = runner_config(tmp_path / "run", data, model=RETINANET, custom_hooks=[dict(type="LossWeightHook")])
    config.dump(path)
    said = " ".join(command("check", path, code=0).split())
    assert "Data set 'rendered' has 2 images and no object of the classes of this training (cat, dog)" in said
    assert os.fspath(tmp_path) not in said

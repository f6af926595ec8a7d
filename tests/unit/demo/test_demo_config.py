"""The example configurations: found, loadable, and different in nothing but the weights."""

import os
from pathlib import Path
from typing import Any

import pytest
from mixtures.run import Run, config_of
from mixtures.settings import SETTINGS

from headweights.demo.config import config_path, load_config, measuring
from headweights.demo.demos import DEMOS
from headweights.demo.job import Job

UNWEIGHTED, HOOK = DEMOS["crowns"].unweighted, DEMOS["crowns"].weighted
# The same weights in heads and pipelines.
WEIGHTED = "faster-rcnn_r18_fpn_weighted.py"


def job(name: str, tmp_path: Path, folder: str = "tree_crowns") -> Job:
    return Job(config_path(folder, name), tmp_path / "data", tmp_path / "run", iters=7, seed=5)


def loaded(name: str, tmp_path: Path, folder: str = "tree_crowns") -> dict[str, Any]:
    content: dict[str, Any] = load_config(job(name, tmp_path, folder)).to_dict()
    return content


@pytest.mark.parametrize("name", [UNWEIGHTED, WEIGHTED, HOOK])
def test_the_command_line_decides_paths_iterations_and_seed(name: str, tmp_path: Path) -> None:
    config = loaded(name, tmp_path)
    assert config["train_cfg"]["max_iters"] == config["train_cfg"]["val_interval"] == 7
    assert config["randomness"] == {"seed": 5}
    assert config["work_dir"] == str(tmp_path / "run")
    roots = [dataset["data_root"] for dataset in config["train_dataloader"]["dataset"]["datasets"]]
    assert roots == [f"{tmp_path}/data/real/", f"{tmp_path}/data/rendered/"]
    assert config["val_evaluator"]["ann_file"] == f"{tmp_path}/data/held_out/annotations.json"


def test_loading_leaves_the_environment_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREE_CROWNS", raising=False)
    loaded(WEIGHTED, tmp_path)
    assert "TREE_CROWNS" not in os.environ
    monkeypatch.setenv("TREE_CROWNS", "/elsewhere")
    loaded(WEIGHTED, tmp_path)
    assert os.environ["TREE_CROWNS"] == "/elsewhere"


def test_the_one_by_hand_differs_in_the_seeds_three_edits_only(tmp_path: Path) -> None:
    stock, weighted = loaded(UNWEIGHTED, tmp_path), loaded(WEIGHTED, tmp_path)
    assert weighted.pop("custom_imports") == {"imports": ["headweights.mmdet"], "allow_failed_imports": False}
    assert weighted.pop("fields") == ["rpn_head.loss_weight", "roi_head.loss_weight"]
    model = weighted["model"]
    assert model["rpn_head"].pop("type") == "RPNHeadWithWeightPerImage"
    assert model["roi_head"]["bbox_head"].pop("type") == "Shared2FCBBoxHeadWithWeightPerImage"
    assert stock["model"]["rpn_head"].pop("type") == "RPNHead"
    assert stock["model"]["roi_head"]["bbox_head"].pop("type") == "Shared2FCBBoxHead"
    for name in ("real", "rendered"):
        step = weighted[f"{name}_pipeline"].pop()
        assert step["type"] == "AddFieldToImgMetas"
        assert weighted[name]["pipeline"].pop() == step
    for dataset in weighted["train_dataloader"]["dataset"]["datasets"]:
        assert dataset["pipeline"].pop()["type"] == "AddFieldToImgMetas"
    assert weighted == stock


def test_the_hooks_block_says_what_the_weighted_one_says(tmp_path: Path) -> None:
    stock, weighted, with_hook = (loaded(name, tmp_path) for name in (UNWEIGHTED, WEIGHTED, HOOK))
    assert with_hook.pop("custom_imports") == weighted["custom_imports"]
    (hook,) = with_hook.pop("custom_hooks")
    assert with_hook == {name: value for name, value in stock.items() if name != "custom_hooks"}
    assert hook.pop("type") == "LossWeightHook"
    targets = [field.removesuffix(".loss_weight") for field in weighted["fields"]]
    steps = {name: weighted[f"{name}_pipeline"][-1] for name in ("real", "rendered")}
    assert hook == {"weights": {name: dict(zip(targets, step["values"])) for name, step in steps.items()}}


def test_a_run_without_weights_measures_too(tmp_path: Path) -> None:
    for name in (UNWEIGHTED, HOOK):
        config = measuring(load_config(job(name, tmp_path)), "real")
        (hook,) = config.custom_hooks
        assert (hook["type"], hook["interval"], hook["target"]) == ("LossWeightHook", 1, "real")
        assert config.custom_imports["imports"] == ["headweights.mmdet"]


def test_weights_average_one_in_each_head(tmp_path: Path) -> None:
    """As the configuration's comment says: neither head learns faster or slower, only from others."""
    from headweights.demo.crowns.data import REAL_TILES, RENDERED_TILES

    config = loaded(WEIGHTED, tmp_path)
    real, rendered = (config[f"{name}_pipeline"][-1]["values"] for name in ("real", "rendered"))
    for one, other in zip(real, rendered):
        assert (one * REAL_TILES + other * RENDERED_TILES) / (REAL_TILES + RENDERED_TILES) == pytest.approx(1)


def test_a_missing_configuration_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"tree_crowns/nothing\.py"):
        config_path("tree_crowns", "nothing.py")


def test_the_digits_are_trained_as_in_the_study(tmp_path: Path) -> None:
    """Else its numbers would say nothing about the demo."""
    demo, setting = DEMOS["digits"], SETTINGS["digits"]
    study = Run("digits", "faster-rcnn", setting.datasets, 5, "test", 7, start="letters", weights=setting.reasoned["faster-rcnn"])
    theirs = config_of(study, tmp_path, tmp_path).to_dict()
    ours = loaded(demo.weighted, tmp_path, demo.configs)
    assert demo.iterations == setting.iterations and demo.target == setting.target
    for part in ("model", "optim_wrapper", "param_scheduler", "train_cfg", "randomness"):
        assert ours[part] == theirs[part]
    for one in (ours, theirs):
        for dataset in one["train_dataloader"]["dataset"]["datasets"]:
            dataset.pop("data_root")
    assert ours["train_dataloader"] == theirs["train_dataloader"]
    ((our_hook,), (their_hook,)) = (one["custom_hooks"] for one in (ours, theirs))
    assert our_hook["normalize"] is their_hook["normalize"] is True
    reasoned = {name: {a: w for a, w in by.items() if w != 1} for name, by in their_hook["weights"].items()}
    assert our_hook["weights"] == reasoned


def test_the_pretraining_is_that_of_the_study_but_for_its_length(tmp_path: Path) -> None:
    demo = DEMOS["digits"]
    assert demo.pretraining is not None
    study = Run("letters", "faster-rcnn", ("letters",), 5, "validation", 7)
    theirs = config_of(study, tmp_path, tmp_path).to_dict()
    ours = loaded(demo.pretraining, tmp_path, demo.configs)
    assert ours["load_from"] is None
    for part in ("model", "optim_wrapper", "param_scheduler", "train_cfg", "randomness"):
        assert ours[part] == theirs[part]
    (data_set,) = theirs["train_dataloader"]["dataset"]["datasets"]
    assert ours["train_dataloader"]["dataset"]["pipeline"] == data_set["pipeline"]
    assert ours["train_dataloader"]["dataset"]["metainfo"] == data_set["metainfo"]

"""The example configurations: found, loadable, and different in nothing but the weights."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headweights.demo.config import HOOK, UNWEIGHTED, WEIGHTED, config_path, load_config, measuring


def loaded(name: str, tmp_path: Path) -> dict[str, Any]:
    config = load_config(name, data=tmp_path / "data", work_dir=tmp_path / "run", iters=7, seed=5)
    content: dict[str, Any] = config.to_dict()
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
        config = load_config(name, data=tmp_path / "data", work_dir=tmp_path / "run", iters=7, seed=5)
        (hook,) = measuring(config).custom_hooks
        assert (hook["type"], hook["interval"], hook["target"]) == ("LossWeightHook", 15, "real")
        assert config.custom_imports["imports"] == ["headweights.mmdet"]


@pytest.mark.slow
def test_the_hook_is_there_to_be_built(tmp_path: Path) -> None:
    """In a process that has imported nothing else, as the command's."""
    program = """
from pathlib import Path
from headweights.demo.config import UNWEIGHTED, load_config, measuring
folder = Path("nowhere")
config = measuring(load_config(UNWEIGHTED, data=folder, work_dir=folder, iters=1, seed=0))
from mmdet.registry import HOOKS
assert HOOKS.build(config.custom_hooks[0]).interval == 15
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=tmp_path, capture_output=True)


def test_weights_average_one_in_each_head(tmp_path: Path) -> None:
    """As the configuration's comment says: neither head learns faster or slower, only from others."""
    from headweights.demo.data import REAL_TILES, RENDERED_TILES

    config = loaded(WEIGHTED, tmp_path)
    real, rendered = (config[f"{name}_pipeline"][-1]["values"] for name in ("real", "rendered"))
    for one, other in zip(real, rendered):
        assert (one * REAL_TILES + other * RENDERED_TILES) / (REAL_TILES + RENDERED_TILES) == pytest.approx(1)


def test_a_missing_configuration_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"tree_crowns/nothing\.py"):
        config_path("nothing.py")

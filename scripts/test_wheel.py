"""Builds the wheel, installs it with each extra alone into a fresh environment, and runs there what that extra is for.

    python3 scripts/test_wheel.py [NAME...]

Standard library only. NAME is one of the environments below; all of them by default. They are made with the README's two lines,
pinned by requirements/, in a temporary folder that goes away. mmcv's compiled wheel comes from pip's cache, where
scripts/setup_env.py left it, and is compiled where there is none.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

import setup_env
from setup_env import ROOT, SetupError, compiler_environment, duration, find_python, requirements, run, say

COMMANDS = ("check", "demo", "report", "tune")
PINS = ("torch.txt", "build.txt", "mmdet.txt", "transformers.txt", "pinned.txt")
# What mmcv's ops are compiled with, as in the README. ninja compiles on all cores.
BUILD_TOOLS = ("torch", "ninja", "packaging", "setuptools", "wheel")
FORKS = ("onedl-mmengine", "onedl-mmcv", "onedl-mmdetection")
# OpenCV as mmcv asks for it needs the system's OpenGL.
HEADLESS = "opencv-python-headless"
WITHOUT_OPENCV = ("base", "report", "transformers")

HOOK = "from headweights.mmdet import LossWeightHook; print(LossWeightHook(weights={'real': 1.0}))"
GATE = """
import torch
from headweights import gate_gradient
x = torch.ones(2, 3, requires_grad=True)
gate_gradient(x, torch.tensor([0.5, 2.0])).sum().backward()
assert x.grad.tolist() == [[0.5] * 3, [2.0] * 3], x.grad
"""
# A config as a user's, of a detector that trains in seconds, and the work directory of a training.
PREPARE = """
import sys
from pathlib import Path
from mmengine.config import Config
from support.logs import write_pictures, write_run
from support.tuning import tuned_config
folder = Path(sys.argv[1])
path = tuned_config(folder / "data", dict(weights=dict(rendered=dict(roi_head=0.2)), normalize=True))
config = Config.fromfile(path, import_custom_modules=False)
config.custom_imports = dict(imports=["headweights.mmdet"], allow_failed_imports=False)
config.dump(folder / "config.py")
write_run(folder / "run", write_pictures(folder / "pictures"))
"""
TRAIN = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner
Runner.from_cfg(Config.fromfile(sys.argv[1])).train()
"""
# Three steps of a tiny detector through the Trainer, on images as the image processor gives them. Then, by hand: images of
# weight 0 give no gradient. Nothing of another framework is installed.
TRAIN_TRANSFORMERS = """
import importlib.util
import math
import sys
import torch
from PIL import Image
from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessorPil, ResNetConfig, Trainer, TrainingArguments
from headweights.transformers import LossWeights, weigh

there = [name for name in ("mmcv", "mmdet", "mmengine", "torchvision", "cv2") if importlib.util.find_spec(name)]
assert not there, there

processor = DetrImageProcessorPil(size={"height": 64, "width": 64})
thing = {"bbox": [8, 8, 24, 16], "category_id": 0, "area": 384, "iscrowd": 0}
backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", out_features=["stage2"])
layers = dict(encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2)
layers |= dict(decoder_layers=1, decoder_ffn_dim=16, decoder_attention_heads=2)
config = DetrConfig(use_timm_backbone=False, backbone_config=backbone, d_model=16, num_queries=5, num_labels=2, **layers)

def scene(colour):
    annotations = {"image_id": 0, "annotations": [thing]}
    inputs = processor(Image.new("RGB", (64, 64), colour), annotations=annotations, return_tensors="pt")
    return {"pixel_values": inputs["pixel_values"][0], "labels": inputs["labels"][0]}

def collate(scenes):
    return {"pixel_values": torch.stack([s["pixel_values"] for s in scenes]), "labels": [s["labels"] for s in scenes]}

weights = LossWeights({"real": 1.0, "synthetic": {"loss_bbox": 0.5}})
trainer = Trainer(
    model=DetrForObjectDetection(config),
    args=TrainingArguments(
        sys.argv[1], max_steps=3, per_device_train_batch_size=2, logging_steps=1, remove_unused_columns=False, report_to=[]
    ),
    train_dataset=weights.mix(real=[scene("red"), scene("green")], synthetic=[scene("blue"), scene("white")]),
    data_collator=collate,
    callbacks=[weights],
)
trainer.train()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
assert len(losses) == 3 and all(map(math.isfinite, losses)), losses

for weight in (0.0, 1.0):
    model = weigh(DetrForObjectDetection(config))
    batch = collate([scene("red"), scene("blue")])
    for label in batch["labels"]:
        label["loss_weight"] = weight
    model(**batch).loss.backward()
    trained = any(p.grad is not None and p.grad.any() for p in model.parameters())
    assert trained == bool(weight), f"weight {weight}"
"""


class CheckError(Exception):
    """Something that the README promises does not work."""


class Fresh:
    """An environment with torch and the build tools; what a stranger starts from."""

    def __init__(self, name, folder, python):
        self.name = name
        self.folder = os.path.join(folder, name)
        self.python = os.path.join(self.folder, "bin", "python")
        self.constraints = os.path.join(folder, "constraints.txt")
        self.elsewhere = os.path.join(folder, "elsewhere")
        self.headless = False
        os.makedirs(self.elsewhere, exist_ok=True)
        template = os.path.join(folder, "torch")
        if not os.path.exists(template):
            run("an empty environment", [python, "-m", "venv", template])
            run(
                "torch and the build tools, once for all", self._pip(*BUILD_TOOLS, python=os.path.join(template, "bin", "python"))
            )
        # The files of an environment are replaced by pip, never written into: links to them will do.
        shutil.copytree(template, self.folder, symlinks=True, copy_function=os.link)

    def _pip(self, *what, python=None):
        command = [python or self.python, "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
        return [*command, "--disable-pip-version-check", "--no-build-isolation", "-c", self.constraints, *what]

    def install(self, *what):
        shown = " ".join(os.path.basename(item) for item in what)
        # Most of what is installed is never imported: its bytecode can wait.
        with compiler_environment() as env:
            run(f"{self.name}: pip install {shown}", self._pip("--no-compile", *what), env)
        if self.headless:
            run(f"{self.name}: {HEADLESS}, as there is no OpenGL", self._pip("--force-reinstall", "--no-deps", HEADLESS))

    def __call__(self, *command, code=0, said=(), **variables):
        """Runs a program of the environment outside of the repository; returns what it printed."""
        shown = "python -c ..." if "-c" in command else " ".join(map(os.path.basename, command))
        say(f"{self.name}: {shown}")
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        env.update({"COLUMNS": "200", "NO_COLOR": "1", "PYTHONWARNINGS": "ignore", **variables})
        program = os.path.join(self.folder, "bin", command[0])
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=self.elsewhere,
            text=True,
            errors="replace",
        )
        with open(setup_env.LOG, "a") as log:
            log.write(f"\n$ {shown}\n{done.stdout}")
        missing = [text for text in said if text not in " ".join(done.stdout.split())]
        if done.returncode != code or missing or (code and "Traceback" in done.stdout):
            wanted = f"exit code {code}" + "".join(f", {text!r}" for text in missing)
            raise CheckError(f"{self.name}: {shown}: exit code {done.returncode}, wanted {wanted}\n{done.stdout[-3000:]}")
        return done.stdout


def base(make, wheel, data):
    """Nothing but headweights: the gate, and a command line that says what else to install."""
    env = make("base")
    env.install(wheel)
    env("python", "-m", "pip", "check")
    env("python", "-c", GATE)
    env("headweights", "--help", said=COMMANDS)
    for command in COMMANDS:
        env("headweights", command, "--help", said=["Usage"])
    needs = '{0}: the {1} needs {2}: pip install {3}"headweights[{4}]"'
    forks = "--no-build-isolation "
    env("headweights", "check", "config.py", code=1, said=[needs.format("check", "check", "mmengine", forks, "mmdet")])
    env("headweights", "demo", code=1, said=[needs.format("demo", "demo", "mmengine", forks, "mmdet")])
    env("headweights", "tune", "config.py", code=1, said=[needs.format("tune", "search", "mmengine", forks, "tune")])
    env("headweights", "report", ".", code=1, said=[needs.format("report", "report", "pillow", "", "report")])
    # That hint holds without an index that has headweights: pip takes the extra from what is installed.
    env("python", "-m", "pip", "install", "--dry-run", "headweights[report]", said=["Would install", "plotly-"])


def beside(make, wheel, data):
    """headweights alone, added to an environment that has mmdetection; then the report and the search."""
    env = make("beside")
    env.install(*FORKS)
    env.install(wheel)
    env("python", "-c", HOOK)
    env("headweights", "check", data("config.py"), said=["rendered", "roi_head", "No problem found."])
    env.install(wheel + "[report,search]", "optuna")
    env("headweights", "report", data("run"), "--out", data("page.html"), said=["page.html"])
    env("python", "-c", "import headweights.tune.run, optuna.visualization; assert optuna.visualization.is_available()")


def report(make, wheel, data):
    """headweights[report]: the page of a training's work directory, without mmdetection."""
    env = make("report")
    env.install(wheel + "[report]")
    env("python", "-m", "pip", "check")
    env("headweights", "report", data("run"), "--out", data("page.html"), said=["page.html"])
    if os.path.getsize(data("page.html")) < 10**6:
        raise CheckError("report: page.html is too small to hold Plotly's script")


def mmdet(make, wheel, data):
    """headweights[mmdet]: the hook, the check, a training, its report."""
    env = make("mmdet")
    env.install(wheel + "[mmdet]")
    env("python", "-c", HOOK)
    env("headweights", "check", data("config.py"), said=["rendered", "roi_head", "No problem found."])
    env("python", "-c", TRAIN, data("config.py"))
    env("headweights", "report", data("run"), "--out", data("page.html"), said=["page.html"])


def transformers(make, wheel, data):
    """headweights[transformers]: one line, no compiler, nothing of mmdetection; a training through the Trainer."""
    env = make("transformers")
    env.install("--only-binary", ":all:", wheel + "[transformers]")
    env("python", "-m", "pip", "check")
    env("python", "-c", TRAIN_TRANSFORMERS, "run", said=["| synthetic |", "0.5 (33.3%)"])


def demo(make, wheel, data):
    """headweights[demo] and deepforest's pictures: the trainings of both demos, two iterations each."""
    env = make("demo")
    env.install(wheel + "[demo]")
    env.install("--no-deps", "deepforest")
    for mix in ("digits", "crowns"):
        folder = data(f"demo_{mix}")
        env("headweights", "demo", mix, "--iters", "2", "--work-dir", folder, said=["unweighted", "weighted", "report.html"])


def tune(make, wheel, data):
    """headweights[tune]: a search of one trial, and what Optuna's proxy needs."""
    env = make("tune")
    env.install(wheel + "[tune]")
    env("headweights", "tune", "--help", said=["--target"])
    env("python", "-c", "import grpc, optuna.storages._grpc.client, optuna.storages._grpc.auto_generated.api_pb2")
    search = ("--target", "real", "--trials", "1", "--work-dir", data("tune"))
    env("headweights", "tune", data("config.py"), *search, said=["The block to paste", "LossWeightHook"])


ENVIRONMENTS = (mmdet, beside, report, transformers, base, tune, demo)


def build_wheel(python, folder):
    """Builds the wheel from a copy: what an earlier build left in the checkout must not get into it."""
    source = os.path.join(folder, "source")
    os.mkdir(source)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(os.path.join(ROOT, name), source)
    for name in ("src", "examples"):
        shutil.copytree(
            os.path.join(ROOT, name), os.path.join(source, name), ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    run("building the wheel", [python, "-m", "pip", "wheel", "--no-deps", "--no-input", "-w", folder, source])
    (name,) = [name for name in os.listdir(folder) if name.endswith(".whl")]
    wheel = os.path.join(folder, name)
    inside = set(zipfile.ZipFile(wheel).namelist())
    for top, _, names in os.walk(os.path.join(source, "src")):
        for name in names:
            path = os.path.relpath(os.path.join(top, name), os.path.join(source, "src")).replace(os.sep, "/")
            if ".egg-info" not in path and path not in inside:
                raise CheckError(f"{path} is not in the wheel: name its package in pyproject.toml")
    return wheel


def test(python, names, folder):
    with open(os.path.join(folder, "constraints.txt"), "w") as file:
        pins = [pin for name in PINS for pin in requirements(name)]
        file.write("\n".join([*pins, *(pin.replace("-headless", "") for pin in pins if pin.startswith(HEADLESS))]))
    wheel = build_wheel(python, folder)
    opengl = has_opengl()
    made = []

    def make(name):
        env = Fresh(name, folder, python)
        env.headless = not opengl and name not in WITHOUT_OPENCV
        made.append(env)
        return env

    def data(name):
        if not os.path.exists(os.path.join(folder, "data")):
            with_mmdet = next((env for env in made if env.name in ("mmdet", "beside", "tune")), None)
            if with_mmdet is None:
                with_mmdet = make("mmdet")
                with_mmdet.install(wheel + "[mmdet]")
            with_mmdet("python", "-c", PREPARE, os.path.join(folder, "data"), PYTHONPATH=os.path.join(ROOT, "tests"))
        return os.path.join(folder, "data", name)

    failed = 0
    for check in ENVIRONMENTS:
        if names and check.__name__ not in names:
            continue
        began = time.time()
        say(check.__doc__)
        try:
            check(make, wheel, data)
        except (CheckError, SetupError) as error:
            failed += 1
            say(f"{check.__name__}: FAILED\n{error}")
        else:
            say(f"{check.__name__}: passed in {duration(time.time() - began)}")
        for env in made:
            shutil.rmtree(env.folder, ignore_errors=True)
        made.clear()
    return failed, len(names or ENVIRONMENTS) - failed


def has_opengl():
    try:
        ctypes.CDLL("libGL.so.1")
    except OSError:
        return False
    return True


def main():
    names = sys.argv[1:]
    unknown = set(names) - {check.__name__ for check in ENVIRONMENTS}
    if unknown:
        raise SetupError(f"no such environment: {', '.join(sorted(unknown))}")
    began = time.time()
    python = find_python()
    setup_env.SPEAKER = "[wheel] "
    setup_env.LOG = os.path.join(ROOT, ".venv.wheel.log")
    open(setup_env.LOG, "w").close()
    with tempfile.TemporaryDirectory(prefix="headweights-wheel-") as folder:
        failed, passed = test(python, names, folder)
    say(f"{duration(time.time() - began)}; the whole output is in {setup_env.LOG}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CheckError, SetupError) as error:
        sys.exit(setup_env.SPEAKER + str(error))
    except KeyboardInterrupt:
        sys.exit(f"\n{setup_env.SPEAKER}interrupted")

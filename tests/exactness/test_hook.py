"""``LossWeightHook`` on a stock config does, bit for bit, what the seed's way does with the same weights."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmcv.transforms import BaseTransform
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from mmengine.runner import FlexibleRunner, Runner, set_random_seed
from support.coco import add_fields, pipeline, runner_config, write_dataset
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from headweights import WeightError
from headweights.batch.in_force import InForce, in_force
from headweights.demo.config import config_path, load_config
from headweights.demo.crowns import data
from headweights.demo.crowns.data import make_data
from headweights.demo.job import Job
from headweights.mmdet.data.trace import PROVENANCE
from headweights.mmdet.heads.model_heads import heads_of, unwrapped
from headweights.provenance.origin import ORIGINS

pytestmark = pytest.mark.slow

HEADS = ("rpn_head", "roi_head.bbox_head")
GIVEN = {"rpn_head": 2.0, "roi_head": 0.2, "roi_head.bbox_head.loss_cls": 0.05}


class Outputs(Hook):
    """Writes down the losses of every iteration, to the last bit."""

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.losses.append({name: float(value) for name, value in outputs.items()})


class Watch(Outputs):
    """Writes down, besides, the images of every iteration and the weights that were in force."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        super().__init__()
        self.images: list[list[str]] = []
        self.samples: list[Any] = []
        self.weights: list[dict[str, dict[str, float]]] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.samples += data_batch["data_samples"]
        self.images.append([Path(sample.img_path).parent.name for sample in data_batch["data_samples"]])
        datasets = in_force(unwrapped(runner.model)).datasets
        self.weights.append({name: {a.field: w for a, w in given.items()} for name, given in datasets.items()})


@HOOKS.register_module(force=True)
class SeedEachIteration(Hook):
    """The same random numbers in an iteration whether the run was interrupted or not (mmengine does not store them)."""

    def before_train_epoch(self, runner: Any) -> None:
        set_random_seed(runner.iter)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        set_random_seed(runner.iter)


def config_of(work_dir: Path, datasets: list[dict[str, Any]], *weighted: str, **more: Any) -> Any:
    """A Runner's config with a detector that is as small as it gets."""
    config = runner_config(work_dir, datasets, *weighted, **more)
    config.model.backbone.depth = 18
    config.model.neck.in_channels = [8, 16, 32, 64]
    config.model.train_cfg.rpn_proposal.update(nms_pre=200, max_per_img=50)
    config.default_hooks.checkpoint = dict(type="CheckpointHook", interval=100, save_last=False)
    return config


def started(config: Any) -> tuple[Runner, Watch]:
    runner = Runner.from_cfg(config)
    watch = Watch()
    runner.register_hook(watch)
    return runner, watch


def trained(config: Any) -> Watch:
    runner, watch = started(config)
    runner.train()
    return watch


def by_iterations(config: Any, iterations: int = 4) -> Any:
    config.train_cfg = dict(type="IterBasedTrainLoop", max_iters=iterations)
    config.train_dataloader.sampler = dict(type="InfiniteSampler")
    return config


def datasets(folder: Path, *steps: dict[str, Any], images: int = 4) -> list[dict[str, Any]]:
    """Two data sets; the second one's pipeline ends with these steps."""
    real = dict(write_dataset(folder, "real", images, seed=1), pipeline=pipeline())
    rendered = dict(write_dataset(folder, "rendered", images, seed=2), pipeline=pipeline(*steps))
    return [real, rendered]


def hook(more: dict[str, Any] | None = None, **weights: Any) -> list[dict[str, Any]]:
    return [dict(type="LossWeightHook", weights=weights, **(more or {}))]


# Its tests stay in one process.
shares_the_seeds_way = pytest.mark.xdist_group("hook")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """The losses of the seed's way with GIVEN for the second data set, over one epoch."""
    folder = tmp_path_factory.mktemp("seeds_way")
    return trained(config_of(folder / "run", datasets(folder, add_fields(**GIVEN)), *HEADS)).losses


# --- the hook is the seed's way ---


@shares_the_seeds_way
def test_by_epochs(tmp_path: Path, expected: list[dict[str, float]]) -> None:
    watch = trained(config_of(tmp_path, datasets(tmp_path), custom_hooks=hook(real=1.0, rendered=GIVEN)))
    assert len(watch.losses) == 4
    assert watch.losses == expected
    assert trained(config_of(tmp_path, datasets(tmp_path))).losses != expected


def test_by_iterations_with_two_workers(tmp_path: Path) -> None:
    runs = []
    for name, given, weighted in (("seed", [add_fields(**GIVEN)], HEADS), ("hook", [], ())):
        hooks = [] if given else hook(rendered=GIVEN)
        config = by_iterations(config_of(tmp_path / name, datasets(tmp_path, *given), *weighted, custom_hooks=hooks), 3)
        config.train_dataloader.num_workers = 2
        runs.append(trained(config).losses)
    assert len(runs[0]) == 3
    assert runs[0] == runs[1]


def test_the_heads_are_of_the_registered_classes_and_in_the_same_state(tmp_path: Path) -> None:
    runner, watch = started(config_of(tmp_path, datasets(tmp_path), custom_hooks=hook(rendered=GIVEN)))
    state: dict[str, Any] = {}

    class Before(Hook):
        priority = 0

        def before_train(self, runner: Any) -> None:
            assert type(runner.model.rpn_head).__name__ == "RPNHead"
            state.update(copy.deepcopy(runner.model.state_dict()))

    class After(Hook):
        priority = 95

        def before_train(self, runner: Any) -> None:
            model = runner.model
            assert type(model.rpn_head) is MODELS.get("RPNHeadWithWeightPerImage")
            assert type(model.roi_head.bbox_head) is MODELS.get("Shared2FCBBoxHeadWithWeightPerImage")
            assert list(model.state_dict()) == list(state)
            assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())

    runner.register_hook(Before())
    runner.register_hook(After())
    runner.train()
    assert state
    assert {sample.get(ORIGINS)[0].origin.dataset for sample in watch.samples} == {"real", "rendered"}
    assert in_force(runner.model) == InForce(), "after training nothing is in force"


def test_data_sets_are_found_however_they_are_wrapped(tmp_path: Path) -> None:
    """Repeated, nested, balanced: as the seed's way in each of them."""
    ignored = ["dataset_name", "cumulative_sizes"]  # mmdetection concatenates what is concatenated only where the rest is alike
    runs = []
    for by_hook in (False, True):
        parts = {
            name: dict(
                write_dataset(tmp_path, name, images=2, seed=seed),
                pipeline=pipeline(*([] if by_hook else [add_fields(rpn_head=weight)])),
            )
            for seed, (name, weight) in enumerate([("a", 0.3), ("b", 2.0), ("c", 0.0)])
        }
        wrapped = [
            dict(type="RepeatDataset", times=2, dataset=parts["a"]),
            dict(
                type="ConcatDataset",
                ignore_keys=ignored,
                datasets=[parts["b"], dict(type="ClassBalancedDataset", oversample_thr=0.5, dataset=parts["c"])],
            ),
        ]
        hooks = hook(a={"rpn_head": 0.3}, b={"rpn_head": 2.0}, c={"rpn_head": 0.0}) if by_hook else []
        config = config_of(tmp_path / f"{by_hook}", wrapped, *(() if by_hook else HEADS), custom_hooks=hooks)
        config.train_dataloader.dataset.ignore_keys = ignored
        runs.append(trained(config))
    assert {name for images in runs[1].images for name in images} == {"a", "b", "c"}
    assert runs[0].losses == runs[1].losses


def test_a_mosaic_weighs_what_its_parts_weigh(tmp_path: Path) -> None:
    """Where all parts weigh alike, the mosaic weighs that, as the seed's way says in the outer pipeline."""
    runs = []
    for by_hook in (False, True):
        inner = [dict(part, pipeline=pipeline()[:2]) for part in datasets(tmp_path)]
        steps = [] if by_hook else [add_fields(rpn_head=0.5, roi_head=0.25)]
        for part in inner:
            part["metainfo"] = dict(classes=("thing",))
        mixed = dict(
            type="MultiImageMixDataset",
            dataset=dict(type="ConcatDataset", datasets=inner),
            pipeline=[dict(type="Mosaic", img_scale=(96, 96), pad_val=114.0), *pipeline(*steps)[2:]],
        )
        weights = {"rpn_head": 0.5, "roi_head": 0.25}
        hooks = hook(real=weights, rendered=weights) if by_hook else []
        runs.append(trained(config_of(tmp_path / f"{by_hook}", [mixed], *(() if by_hook else HEADS), custom_hooks=hooks)))
    parts = [sample.get(ORIGINS) for sample in runs[1].samples]
    assert {part.origin.dataset for of in parts for part in of} == {"real", "rendered"}
    assert any(len(of) == 2 for of in parts) and all(abs(sum(part.share for part in of) - 1) < 1e-6 for of in parts)
    for one, other in zip(runs[0].losses, runs[1].losses):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-6)


@shares_the_seeds_way
def test_where_both_speak_the_pipelines_field_wins(tmp_path: Path, expected: list[dict[str, float]]) -> None:
    hooks = hook(rendered={"rpn_head": 7.0, "roi_head": 0.2, "roi_head.bbox_head.loss_cls": 0.05})
    config = config_of(tmp_path, datasets(tmp_path, add_fields(rpn_head=2.0)), custom_hooks=hooks)
    config.log_level = "INFO"
    assert trained(config).losses == expected
    (log,) = tmp_path.glob("*/*.log")
    rows = [line for line in log.read_text().splitlines() if line.startswith("| rendered")]
    assert len(rows) == 1 and "2* (66.7%)" in rows[0] and "7 (" not in rows[0]
    assert "set by the data set's pipeline, which wins over the hook's block" in log.read_text()


def test_images_weigh_by_file_and_objects_by_annotation(tmp_path: Path) -> None:
    """A picture's own weight times its data set's is what a transform of the user's own could have said."""

    @TRANSFORMS.register_module(force=True)
    class Product(BaseTransform):
        def transform(self, results: dict[str, Any]) -> dict[str, Any]:
            sample = results["data_samples"]
            own = {"0.png": 0.25, "1.png": 4.0}.get(Path(sample.img_path).name, 1.0)
            sample.set_metainfo({"rpn_head.loss_weight": 2.0 * own, "roi_head.loss_weight": 0.5 * own})
            return results

    seeds_way = config_of(tmp_path / "a", datasets(tmp_path, dict(type="Product")), *HEADS)
    images = {"rendered": {"0.png": 0.25, "1.png": 4.0}}
    hooks = hook(dict(images=images), rendered={"rpn_head": 2.0, "roi_head": 0.5})
    with_hook = config_of(tmp_path / "b", datasets(tmp_path), custom_hooks=hooks)
    losses = trained(seeds_way).losses
    assert trained(with_hook).losses == losses
    path = tmp_path / "rendered.json"
    described = json.loads(path.read_text())
    for annotation in described["annotations"]:
        annotation["loss_weight"] = 0.1 if annotation["id"] % 2 else 3.0
    path.write_text(json.dumps(described))
    with_objects = config_of(tmp_path / "c", datasets_as_written(tmp_path), custom_hooks=hooks)
    watch = trained(with_objects)
    rendered = [sample for sample in watch.samples if "rendered" in sample.img_path]
    assert {round(weight, 6) for sample in rendered for weight in sample.gt_instances.loss_weights.tolist()} == {0.1, 3.0}


def datasets_as_written(folder: Path) -> list[dict[str, Any]]:
    """The two data sets that lie in a folder already."""
    return [
        dict(
            type="CocoDataset",
            data_root=str(folder),
            ann_file=f"{name}.json",
            data_prefix=dict(img=name),
            metainfo=dict(classes=("thing",), dataset_name=name),
            pipeline=pipeline(),
        )
        for name in ("real", "rendered")
    ]


def test_normalised_weights_have_a_mean_of_one(tmp_path: Path) -> None:
    """3 and 1 for as many pictures each are 1.5 and 0.5, in every head and loss apart."""
    real, rendered = datasets(tmp_path)
    real["pipeline"], rendered["pipeline"] = pipeline(add_fields(rpn_head=1.5)), pipeline(add_fields(rpn_head=0.5))
    seeds_way = trained(config_of(tmp_path / "a", [real, rendered], *HEADS))
    hooks = hook(dict(normalize=True), real={"rpn_head": 3.0}, rendered={"rpn_head": 1.0})
    assert trained(config_of(tmp_path / "b", datasets(tmp_path), custom_hooks=hooks)).losses == seeds_way.losses


# --- what wraps a model ---


@MODEL_WRAPPERS.register_module(force=True)
class Around(nn.Module):
    """A wrapper as a user may register one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.train_step(*args, **kwargs)


def compiled_backbone(runner: Runner) -> None:
    runner.model.backbone = torch.compile(runner.model.backbone, backend="eager")


def compiled_heads(runner: Runner) -> None:
    runner.model.rpn_head = torch.compile(runner.model.rpn_head, backend="eager")
    runner.model.roi_head.bbox_head = torch.compile(runner.model.roi_head.bbox_head, backend="eager")


def checkpointed(runner: Runner) -> None:
    runner.model.neck = checkpoint_wrapper(runner.model.neck)
    runner.model.roi_head.bbox_head = checkpoint_wrapper(runner.model.roi_head.bbox_head)


def wrapped_twice(runner: Runner) -> None:
    runner.model = Around(Around(runner.model))


@pytest.mark.parametrize("wrap", [compiled_backbone, compiled_heads, checkpointed, wrapped_twice])
@shares_the_seeds_way
def test_wrapped_parts_keep_the_paths_that_the_user_knows(tmp_path: Path, wrap: Any, expected: list[dict[str, float]]) -> None:
    class Wrap(Hook):
        priority = 0

        def before_train(self, runner: Any) -> None:
            wrap(runner)  # after mmengine initialised the parameters, which it does not do through wrappers

    runner, watch = started(config_of(tmp_path, datasets(tmp_path), custom_hooks=hook(rendered=GIVEN)))
    runner.register_hook(Wrap())
    runner.train()
    assert list(heads_of(unwrapped(runner.model)).book.weighted) == list(HEADS)
    for actual, wanted in zip(watch.losses, expected, strict=True):
        assert actual == pytest.approx(wanted, rel=1e-5, abs=1e-6)


@shares_the_seeds_way
def test_with_an_exponential_moving_average(tmp_path: Path, expected: list[dict[str, float]]) -> None:
    config = config_of(tmp_path, datasets(tmp_path), custom_hooks=[*hook(rendered=GIVEN), dict(type="EMAHook")])
    config.default_hooks.checkpoint = dict(type="CheckpointHook", interval=1)
    assert trained(config).losses == expected
    saved = torch.load(tmp_path / "epoch_1.pth", weights_only=False)
    assert any("rpn_head" in name for name in saved["ema_state_dict"])


# --- over time ---

COSINE = dict(schedule="cosine", points=[(0, 1.0), (4, 0.1)], by="iter")
STEPS = dict(schedule="step", points=[(0, 1.0), (1, 0.5), (2, 0.25)], by="epoch")


@pytest.mark.parametrize("loop", ["epochs", "iterations"])
def test_a_schedule_is_exact_at_every_iteration(tmp_path: Path, loop: str) -> None:
    hooks = hook(rendered={"rpn_head": COSINE, "roi_head": STEPS})
    config = config_of(tmp_path, datasets(tmp_path, images=2), epochs=3, custom_hooks=hooks)
    watch = trained(config if loop == "epochs" else by_iterations(config, 6))
    cosine = [1.0, 0.8681980515339464, 0.55, 0.2318019484660536, 0.1, 0.1]
    seen = [weights["rendered"] for weights in watch.weights]
    assert [weights["rpn_head.loss_weight"] for weights in seen] == pytest.approx(cosine, rel=1e-12)
    assert [weights["roi_head.loss_weight"] for weights in seen] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_a_scheduled_weight_is_that_weight_in_the_loss(tmp_path: Path) -> None:
    """With the parameters held still, the RPN's loss on the one data set is its weight times the unweighted."""
    logged = {}
    for name, hooks in (("stock", []), ("hook", hook(rendered={"rpn_head": COSINE}))):
        hooks = [dict(type="SeedEachIteration"), *hooks]
        config = by_iterations(config_of(tmp_path / name, datasets(tmp_path, images=2)[1:], custom_hooks=hooks), 5)
        config.optim_wrapper.optimizer.lr = 0.0
        logged[name] = trained(config).losses
    for iteration, weight in enumerate([1.0, 0.8681980515339464, 0.55, 0.2318019484660536, 0.1]):
        stock, weighted = logged["stock"][iteration], logged["hook"][iteration]
        assert weighted["loss_rpn_cls"] == pytest.approx(weight * stock["loss_rpn_cls"], rel=1e-5)
        assert weighted["loss_cls"] == stock["loss_cls"]


class Tell(Hook):
    """Writes the losses of every iteration to a file, and kills its process after one of them."""

    priority = "VERY_LOW"

    def __init__(self, file: Path, kill_at: int) -> None:
        self.file = file
        self.kill_at = kill_at

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        with self.file.open("a") as file:
            print(runner.iter, json.dumps({name: float(value) for name, value in outputs.items()}), file=file)
        if runner.iter == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def train_and_tell(config: Path, file: Path, kill_at: int) -> None:
    runner = Runner.from_cfg(Config.fromfile(config))
    runner.register_hook(Tell(file, kill_at))
    runner.train()


def test_a_run_that_was_killed_goes_on_with_the_same_losses(tmp_path: Path) -> None:
    """kill -9 in the second epoch, then resume=True: to the last bit what the whole run does, with a schedule in force."""
    normalized = dict(normalize=True)
    hooks = [dict(type="SeedEachIteration"), *hook(normalized, rendered={"rpn_head": dict(COSINE, schedule="linear")}, real=0.5)]
    config = config_of(tmp_path / "run", datasets(tmp_path, images=2), epochs=3, custom_hooks=hooks)
    config.default_hooks.checkpoint = dict(type="CheckpointHook", interval=1)

    def run(name: str, kill_at: int, **changes: Any) -> tuple[int, list[str]]:
        config.merge_from_dict(dict(work_dir=str(tmp_path / changes.pop("work_dir", name)), **changes))
        config.dump(tmp_path / f"{name}.py")
        # A process of its own; forked, as it takes seconds to import all that it needs.
        arguments = (tmp_path / f"{name}.py", tmp_path / f"{name}.txt", kill_at)
        process = multiprocessing.get_context("fork").Process(target=train_and_tell, args=arguments)
        process.start()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode, (tmp_path / f"{name}.txt").read_text().splitlines()

    assert run("killed", 2)[0] == -signal.SIGKILL
    code, resumed = run("resumed", -1, work_dir="killed", resume=True)
    assert code == 0
    code, whole = run("whole", -1, resume=False)
    assert code == 0 and len(whole) == 6
    killed = (tmp_path / "killed.txt").read_text().splitlines()
    assert killed == whole[:3]
    assert resumed == whole[2:], "from the end of the first epoch on"


# --- two processes ---


def rank(number: int, folder: str) -> None:
    """One of two processes that train with mmengine's Runner, first in the seed's way and then with the hook."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=number, world_size=2)
    found = []
    weights = {"rpn_head": COSINE, "roi_head": 0.2}
    for name, hooks, steps, weighted in (
        ("hook", hook(rendered=dict(GIVEN)), [], ()),
        ("seed", [], [add_fields(**GIVEN)], HEADS),
        ("scheduled", hook(rendered=weights), [], ()),
        ("by_passes", hook(rendered={"roi_head": STEPS}), [], ()),
    ):
        folder_of = Path(folder) / f"{number}"
        config = config_of(folder_of / name, datasets(folder_of, *steps), *weighted, epochs=2, custom_hooks=hooks)
        config.train_dataloader.batch_size = 1 if name != "by_passes" else 2
        if name == "by_passes":
            by_iterations(config, 4)
        runner, watch = started(config)
        runner.model = MMDistributedDataParallel(runner.model)
        runner.train()
        found.append((watch.losses, watch.images, watch.weights))
    torch.save(found, f"{folder}/{number}.pt")
    dist.destroy_process_group()


def test_two_processes_weigh_as_the_seeds_way_and_agree_on_the_weights(tmp_path: Path) -> None:
    mp.start_processes(rank, args=(str(tmp_path),), nprocs=2, start_method="fork")
    one, other = (torch.load(tmp_path / f"{number}.pt") for number in range(2))
    for found in (one, other):
        assert len(found[0][0]) == 8
        assert found[0][0] == found[1][0], "the losses of the hook are those of the seed's way"
        assert found[0][0] != found[2][0]
    assert one[0][1] != other[0][1], "each has pictures of its own, of different data sets"
    assert one[2][2] == other[2][2] and len({str(weights) for weights in one[2][2]}) == 5
    # Eight pictures, two processes, two each: a pass over the data takes two iterations, though InfiniteSampler counts it all.
    assert [weights["rendered"]["roi_head.loss_weight"] for weights in one[3][2]] == [1.0, 1.0, 0.5, 0.5]


# --- what stops a run ---


def refused(runner: Runner, watch: Watch) -> str:
    with pytest.raises(WeightError) as error:
        runner.train()
    assert not watch.losses
    return str(error.value)


@pytest.mark.parametrize(
    ("weights", "more", "said"),
    [
        (dict(reel=1.0), {}, ["'reel' is no data set", "Nearest valid: 'real'", "'rendered'"]),
        (dict(real={"rpn_haed": 1.0}, rendered={"roi_head.bbox_head.los_cls": 1.0}), {}, ["'rpn_head'", "loss_cls'"]),
        (dict(real=1.0), dict(images=dict(rendred={})), ["images: 'rendred'", "Nearest valid: 'rendered'"]),
        (dict(real=1.0), dict(images=dict(rendered={"99.png": 1.0})), ["'99.png'", "Nearest"]),
        (dict(real=1.0), dict(datasets=["a", "b"]), ["'a'", "its metainfo calls it 'real'"]),
        (dict(real=1.0), dict(datasets=["real"]), ["a list of 2 names"]),
    ],
)
def test_a_name_that_does_not_exist_stops_the_run(tmp_path: Path, weights: Any, more: Any, said: list[str]) -> None:
    text = refused(*started(config_of(tmp_path, datasets(tmp_path), custom_hooks=hook(more, **weights))))
    assert all(words in text for words in said), text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(weights=dict(real=-1)), "not negative"),
        (dict(weights=dict(real=dict(rpn_head="1"))), "type str"),
        (dict(weights=3), "must be a table"),
        (dict(weigths=dict(real=1)), "Nearest valid: 'weights'"),
        (dict(weights={}, datasets="real"), "a list of names"),
        (dict(weights={}, datasets=3), "a list of names"),
        (dict(weights={}, images=["a.csv"]), "must be a table"),
        (dict(weights={}, normalize="yes"), "True or False"),
    ],
)
def test_a_hook_that_cannot_be_meant_is_not_built(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightError, match=said):
        HOOKS.build(dict(type="LossWeightHook", **arguments))


def test_a_second_hook_is_refused(tmp_path: Path) -> None:
    runner = Runner.from_cfg(config_of(tmp_path, datasets(tmp_path), custom_hooks=[*hook(real=1.0), *hook(rendered=1.0)]))
    with pytest.raises(WeightError, match="configured twice"):
        runner.train()


def test_a_picture_that_lost_its_data_set_stops_the_first_iteration(tmp_path: Path) -> None:
    @TRANSFORMS.register_module(force=True)
    class Forgets(BaseTransform):
        def transform(self, results: dict[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in results.items() if name != PROVENANCE}

    forgetful = datasets(tmp_path)
    for described in forgetful:
        described["pipeline"].insert(-1, dict(type="Forgets"))
    text = refused(*started(config_of(tmp_path, forgetful, custom_hooks=hook(real=0.5))))
    assert ".png" in text and ("'real'" in text or "'rendered'" in text) and "PackDetInputs" in text


def test_a_model_that_never_says_whose_images_its_heads_see_does_not_start(tmp_path: Path) -> None:
    @MODELS.register_module(force=True)
    class Distils(BaseModel):
        """Computes a detector's loss in its forward, so that the detector's paths are not the model's."""

        def __init__(self, student: Any, data_preprocessor: Any) -> None:
            super().__init__(data_preprocessor)
            self.student = MODELS.build(student)

        def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
            return self.student(inputs, data_samples, mode)

    config = config_of(tmp_path, datasets(tmp_path), custom_hooks=hook(real=0.5))
    preprocessor = config.model.pop("data_preprocessor")
    config.model = dict(type="Distils", student=config.model, data_preprocessor=preprocessor)
    assert "publishes_batch" in refused(*started(config))


def test_a_data_loader_that_is_built_already(tmp_path: Path) -> None:
    config = config_of(tmp_path, datasets(tmp_path), custom_hooks=hook(rendered=GIVEN))
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    for _ in range(2):  # a second run on the same data sets finds them named
        runner = Runner(
            model=config.model,
            work_dir=str(tmp_path),
            train_dataloader=loader,
            train_cfg=config.train_cfg,
            optim_wrapper=config.optim_wrapper,
            custom_hooks=hook(dict(images={"rendered": {"0.png": 0.5}}), rendered=GIVEN),
            default_scope="mmdet",
            log_level="ERROR",
            randomness=dict(seed=0),
        )
        watch = Watch()
        runner.register_hook(watch)
        runner.train()
        assert len(watch.losses) == 4
        assert all(sample.get(ORIGINS)[0].origin.dataset for sample in watch.samples)


@shares_the_seeds_way
def test_with_the_flexible_runner(tmp_path: Path, expected: list[dict[str, float]]) -> None:
    config = config_of(tmp_path, datasets(tmp_path), custom_hooks=hook(rendered=GIVEN))
    config.env_cfg = dict(dist_cfg=dict(backend="gloo"))
    runner = FlexibleRunner.from_cfg(config)
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert watch.losses == expected


def test_the_flexible_runner_checks_pipelines_before_training(tmp_path: Path) -> None:
    config = config_of(tmp_path, datasets(tmp_path, add_fields(rpn_haed=0.5)), *HEADS)
    config.env_cfg = dict(dist_cfg=dict(backend="gloo"))
    runner = FlexibleRunner.from_cfg(config)
    with pytest.raises(WeightError, match=r"AddFieldToImgMetas of data set 'rendered'.*Nearest valid: 'rpn_head\.loss_weight'"):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_weights_stay_where_another_hook_replaces_the_pipeline(tmp_path: Path, workers: int) -> None:
    """RTMDet's configs switch to a pipeline without a mosaic for their last epochs."""
    real, _ = datasets(tmp_path)
    switch = dict(type="PipelineSwitchHook", switch_epoch=1, switch_pipeline=pipeline())
    config = config_of(tmp_path / "run", [], epochs=2, custom_hooks=[*hook(dict(images={"real": {"*": 0.25}}), real=1.0), switch])
    config.train_dataloader = {**config.train_dataloader, "dataset": real, "num_workers": workers}
    config.train_dataloader.persistent_workers = workers > 0
    watch = trained(config)
    assert len(watch.samples) == 8
    assert {sample.get(ORIGINS)[0].origin.weights[""] for sample in watch.samples} == {0.25}


def test_the_branches_of_a_semi_supervised_detector_weigh_what_their_data_sets_weigh(tmp_path: Path) -> None:
    """SoftTeacher: pictures without labels count for nothing in the student's RPN, and in its RoI head as ever."""
    branches = ["sup", "unsup_teacher", "unsup_student"]
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction", "homography_matrix")
    branch = [dict(type="Resize", scale=(96, 96)), dict(type="PackDetInputs", meta_keys=keys)]
    labelled, unlabelled = datasets(tmp_path)
    labelled["pipeline"] = [*pipeline()[:2], dict(type="MultiBranch", branch_field=branches, sup=branch)]
    split = dict(type="MultiBranch", branch_field=branches, unsup_teacher=branch, unsup_student=branch)
    unlabelled["pipeline"] = [dict(type="LoadImageFromFile"), dict(type="LoadEmptyAnnotations"), split]
    losses = {}
    for weight in (0.0, 1.0):
        config = config_of(
            tmp_path / f"{weight}", [labelled, unlabelled], custom_hooks=hook(rendered={"student.rpn_head": weight})
        )
        by_iterations(config, 1)
        config.train_dataloader.sampler = dict(type="GroupMultiSourceSampler", batch_size=2, source_ratio=[1, 1])
        preprocessor = config.model.data_preprocessor
        thresholds = {f"{name}_thr": 0.0 for name in ("pseudo_label_initial_score", "rpn_pseudo", "cls_pseudo", "reg_pseudo")}
        config.model = dict(
            type="SoftTeacher",
            detector=config.model,
            data_preprocessor=dict(type="MultiBranchDataPreprocessor", data_preprocessor=preprocessor),
            semi_train_cfg=dict(
                freeze_teacher=True,
                sup_weight=1.0,
                unsup_weight=4.0,
                jitter_times=2,
                jitter_scale=0.06,
                min_pseudo_bbox_wh=(0.01, 0.01),
                **thresholds,
            ),
            semi_test_cfg=dict(predict_on="teacher"),
        )
        runner = Runner.from_cfg(config)
        outputs = Outputs()
        runner.register_hook(outputs)
        runner.train()
        (losses[weight],) = outputs.losses
    assert losses[0.0]["unsup_loss_rpn_cls"] == 0 < losses[1.0]["unsup_loss_rpn_cls"]
    for name in ("sup_loss_rpn_cls", "sup_loss_cls", "unsup_loss_cls"):
        assert losses[0.0][name] == losses[1.0][name] > 0


# --- on real images ---


def test_the_examples_block_is_bit_for_bit_the_seeds_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tree crowns: photographs and rendered tiles, the demo's configurations as they are."""
    monkeypatch.setattr(data, "REAL_TILES", 4)
    monkeypatch.setattr(data, "RENDERED_TILES", 8)
    monkeypatch.setattr(data, "HELD_OUT_PLACES", ())
    make_data(tmp_path / "data", 0)
    losses = {}
    for name in ("weighted", "hook", "unweighted"):
        path = config_path("tree_crowns", f"faster-rcnn_r18_fpn_{name}.py")
        config = load_config(Job(path, tmp_path / "data", tmp_path / name, iters=2, seed=0))
        config.train_dataloader.batch_size = 4
        config.log_level = "ERROR"
        for part in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader", "test_cfg", "test_evaluator"):
            config.pop(part)
        losses[name] = trained(config).losses
    assert len(losses["hook"]) == 2
    assert losses["hook"] == losses["weighted"] != losses["unweighted"]

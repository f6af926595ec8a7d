"""``headweights tune`` from a user's config to the block to paste: real trainings, real studies."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import typer
from mmengine.config import Config
from mmengine.logging import MMLogger
from optuna.trial import TrialState
from support.detectors import RETINANET
from support.tuning import KNOWN, WorseEveryTime, tuned_config
from typer.testing import CliRunner

from headweights.check.run import checked
from headweights.cli import app
from headweights.errors import WeightError
from headweights.tune import command
from headweights.tune.studies import study as studies
from headweights.tune.studies.screening import FOUND, LEVELS, SCREENING
from headweights.tune.studies.study import KIND, OWN, REASON, UNWEIGHTED, WORKER, begin, open_storage, recover, retry, status_of
from headweights.tune.trials.trial import SCREEN_LOG

PAGE = Path(__file__).resolve().parents[3] / "docs" / "tune.md"
OTHER_HOOK = dict(type="EmptyCacheHook")


@dataclass
class Tuned:
    """What a run of the command left."""

    config: Path
    work_dir: Path
    text: str = ""
    code: int = 0

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """The trials in its database."""
        return optuna.load_study(study_name=None, storage=f"sqlite:///{self.work_dir}/tune.db").trials

    def run(self, *options: str, trials: int = 3) -> Tuned:
        """Runs the command on it in this process."""
        arguments = ["tune", str(self.config), "--target", "real", "--trials", str(trials), "--work-dir", str(self.work_dir)]
        result = CliRunner().invoke(app, [*arguments, *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        self.text, self.code = result.output, result.exit_code
        return self

    def facts(self, trial: int) -> list[Path]:
        """What the hook of a trial writes when its training begins."""
        return list((self.work_dir / "trials" / str(trial)).glob("*/vis_data/headweights.json"))

    def trains(self, trial: int) -> bool:
        """Whether a trial's training has begun."""
        return bool(self.facts(trial))

    def in_force(self, trial: int) -> dict[str, Any]:
        """The weights that a trial's training says were in force."""
        (facts,) = self.facts(trial)
        weights: dict[str, Any] = json.loads(facts.read_text())["weights"]
        return weights


# Tests of what one study left stay in one process.
shares_a_study = pytest.mark.xdist_group("tune")


def until(holds: Callable[[], Any], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def two_stage(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Three trials of a Faster R-CNN whose config has weights, and another hook."""
    folder = tmp_path_factory.mktemp("two_stage")
    hook = dict(weights=dict(real=1.0, rendered={"rpn_head": 0.5, "roi_head.bbox_head.loss_bbox": 0.9}), normalize=True)
    config = tuned_config(folder, hook, evaluator=KNOWN, hooks=[OTHER_HOOK], checkpoints=True)
    WorseEveryTime.count = 0
    return Tuned(config, folder / "run").run("--no-screening")


@shares_a_study
def test_every_trial_trains_with_its_weights_and_the_rest_of_the_config(two_stage: Tuned) -> None:
    assert two_stage.code == 0, two_stage.text
    trials = two_stage.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    assert [trial.value for trial in trials] == pytest.approx([1, 1 / 2, 1 / 3])  # the accuracy, and not the strangeness
    assert [trial.user_attrs.get(KIND) for trial in trials] == [UNWEIGHTED, OWN, None]
    assert trials[1].params == {"rendered: rpn_head": 0.5, "rendered: roi_head": 1.0}
    assert all(0.1 / 3 <= value <= 3 for value in trials[2].params.values())
    for trial in trials:
        in_force = two_stage.in_force(trial.number)
        assert in_force["real"] == {"": 1.0}
        assert in_force["rendered"].pop("roi_head.bbox_head.loss_bbox") == 0.9
        assert in_force["rendered"] == {name.split(": ")[1]: float(f"{v:.3g}") for name, v in trial.params.items()}
    assert "index created!" in (two_stage.work_dir / "trials" / "2" / SCREEN_LOG).read_text()
    assert "index created!" not in two_stage.text
    # mmengine keeps a trial's logger; it must not go on writing to the trial's files.
    assert MMLogger.get_current_instance().handlers == []


@shares_a_study
def test_the_block_is_printed_and_is_that_of_a_config_that_checks_clean(two_stage: Tuned) -> None:
    printed = re.search(r"^custom_hooks = \[.*?^\]", two_stage.text, flags=re.DOTALL | re.MULTILINE)
    assert printed
    names: dict[str, Any] = {}
    exec(printed[0], names)
    config = Config.fromfile(two_stage.work_dir / "best_weights.py")
    assert names["custom_hooks"] == config.to_dict()["custom_hooks"]
    assert names["custom_hooks"][0] == OTHER_HOOK
    assert names["custom_hooks"][1]["weights"]["rendered"] == {
        "roi_head.bbox_head.loss_bbox": 0.9,
        "rpn_head": 1.0,
        "roi_head": 1.0,
    }
    result = checked(two_stage.work_dir / "best_weights.py")
    assert result.problems == [] and result.mix is not None
    assert config.model == Config.fromfile(two_stage.config).model


@shares_a_study
def test_the_best_trial_is_compared_with_the_baselines(two_stage: Tuned) -> None:
    text = " ".join(two_stage.text.split())
    assert "No trial beat the unweighted detector, accuracy 1." in text
    assert "The best accuracy, 1, is +0.5 from the config's own weights, 0.5." in text
    assert "Expect less" in text
    assert "more specific than the weights searched around it: 'rendered', roi_head.bbox_head.loss_bbox" in text
    assert "plotly" in (two_stage.work_dir / "tune.html").read_text().lower()


@shares_a_study
def test_only_the_best_trials_checkpoints_stay(two_stage: Tuned) -> None:
    assert {path.parent.name for path in two_stage.work_dir.rglob("*.pth")} == {"0"}


@shares_a_study
def test_a_study_that_has_its_trials_only_shows_them(two_stage: Tuned) -> None:
    again = Tuned(two_stage.config, two_stage.work_dir).run("--no-screening")
    assert again.code == 0 and "3 of 3 trials are finished" in again.text and "custom_hooks = [" in again.text
    assert len(again.trials) == 3


@shares_a_study
def test_another_search_is_not_mixed_in(two_stage: Tuned) -> None:
    other = Tuned(two_stage.config, two_stage.work_dir).run("--low", "0.2", "--cfg-options", "train_cfg.max_epochs=2")
    assert other.code == 2 and len(other.trials) == 3
    assert (
        "levels: was [0.1, 1.0], is [0.2, 1.0]" in other.text
        and "screening: was None, is 1.0" in other.text
        and "config: train_cfg" in other.text
    )
    assert "--study" in other.text
    named = Tuned(two_stage.config, two_stage.work_dir).run("--low", "0.2", "--study", "other")
    assert named.code == 2 and "has the trials of another study" in named.text


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A search that begins with a screening of shorter trainings, of weights and sampling."""
    folder = tmp_path_factory.mktemp("screened")
    harmful = ("rendered", "bbox_head.loss_bbox")
    config = tuned_config(
        folder,
        model=RETINANET,
        evaluator=dict(type="ByWeights", harmful=harmful, noise=0.0),
        hooks=[dict(type="TellsWeightsHook")],
        epochs=2,
    )
    options = ["--head", "bbox_head.loss_cls", "--head", ".".join(harmful[1:]), "--sampling", "--fraction", "0.5"]
    return Tuned(config, folder / "run").run(*options, trials=12)


@pytest.mark.slow
@pytest.mark.xdist_group("screened")
def test_a_screening_comes_first_and_then_the_weights_that_matter(screened: Tuned) -> None:
    assert screened.code == 0, screened.text
    box, cls, drawn = (f"rendered: {name}" for name in ("bbox_head.loss_bbox", "bbox_head.loss_cls", "drawn"))
    first, *trials = screened.trials
    screening, (found, *more) = trials[:8], trials[8:]
    levels = [trial for trial in more if trial.user_attrs.get(KIND) == LEVELS]
    more = [trial for trial in more if trial not in levels]
    assert first.user_attrs[KIND] == UNWEIGHTED and len(levels) <= 1 and len(more) == 2 - len(levels)
    assert all(trial.params[box] == 0.1 for trial in levels)
    assert {trial.user_attrs[KIND] for trial in screening} == {SCREENING}
    assert len({tuple(trial.params.values()) for trial in screening}) == 8
    # A short training ends after one epoch, and is no result.
    assert {(trial.state, trial.last_step) for trial in screening} == {(TrialState.PRUNED, 1)}
    assert found.params == {box: 0.1, cls: 1.0, drawn: 1.0} and found.user_attrs[KIND] == FOUND and found.last_step == 2
    assert all(trial.params[cls] == trial.params[drawn] == 1 != trial.params[box] for trial in more)
    text = " ".join(screened.text.split())
    assert "First a screening: 8 trainings, each 0.5 as long as the config's" in text
    assert f"{box}: 0.1 instead of 1 gains 0.27" in text and "Everything else is within noise" in text
    assert "of 0.5 of the length" in text
    page = (screened.work_dir / "tune.html").read_text()
    assert "Everything else is within noise" in page and "What each weight does" in page


@pytest.mark.slow
@pytest.mark.xdist_group("screened")
def test_a_data_set_is_drawn_as_the_screening_says(screened: Tuned) -> None:
    for trial in screened.trials[:9]:
        config = Config.fromfile(next((screened.work_dir / "trials" / str(trial.number)).glob("*.py")))
        rate = trial.params["rendered: drawn"]
        sampler = config.train_dataloader.sampler
        if rate == 1:
            assert sampler.type == "DefaultSampler"
        else:
            assert sampler == dict(type="SourceRateSampler", source_rates=[1.0, 0.1], infinite=False)


@pytest.mark.slow
def test_where_nothing_matters_the_search_ends_with_every_weight_at_its_better_level(tmp_path: Path) -> None:
    WorseEveryTime.count = 10_000  # so that what is left of the accuracy is rounding
    config = tuned_config(tmp_path, model=RETINANET, evaluator=KNOWN, names=("real", "rendered", "drawn"))
    options = ["--head", "bbox_head.loss_cls", "--sampling", "--low", "0.5"]
    tuned = Tuned(config, tmp_path / "run").run(*options, trials=12)
    assert tuned.code == 0, tuned.text
    *screening, last = tuned.trials
    assert len(screening) == 8  # the whole design, with the unweighted detector in it
    assert last.user_attrs[KIND] == LEVELS and set(last.params.values()) == {0.5, 1.0}
    assert "so the search ends with every weight at its better level" in tuned.text


@pytest.mark.slow
def test_bad_trials_are_pruned(tmp_path: Path) -> None:
    WorseEveryTime.count = 0
    tuned = Tuned(tuned_config(tmp_path, model=RETINANET, evaluator=KNOWN, epochs=3), tmp_path / "run").run(trials=2)
    assert tuned.code == 0, tuned.text
    first, second = tuned.trials
    assert first.state == TrialState.COMPLETE and len(first.intermediate_values) == 3
    assert second.state == TrialState.PRUNED and second.last_step == 2
    assert "trial 1: pruned after validation 2 of 3: 0.2" in tuned.text
    assert "'rendered': {'bbox_head': 1.0}" in tuned.text
    assert checked(tuned.work_dir / "best_weights.py").problems == []


@pytest.mark.slow
def test_failures(tmp_path: Path) -> None:
    """All trials fail; what was wrong is mended; some fail all the same."""
    config = tuned_config(tmp_path, model=RETINANET, evaluator=KNOWN, hooks=[dict(type="BreaksHook", how={"*": "crash"})])
    tuned = Tuned(config, tmp_path / "run").run(trials=9)
    assert tuned.code == 2 and "the first 3 trials failed. Trial 0: RuntimeError: no memory left in 0" in tuned.text
    assert len(tuned.trials) == 3 and "Traceback" not in tuned.text
    assert "before_train_iter" in (tuned.work_dir / "trials" / "0" / SCREEN_LOG).read_text()  # of the traceback

    options = ["--cfg-options", "custom_hooks.0.how.*=no", "--metric"]
    tuned.run(*options, "accuracies", trials=1)
    assert tuned.code == 2 and "returns no metric 'accuracies'. Nearest valid: 'accuracy'" in tuned.text
    assert len(tuned.trials) == 1  # a study whose trials all failed starts anew

    breaks = ["--cfg-options", "custom_hooks.0.how.1=crash", "--cfg-options", "custom_hooks.0.how.2=diverge"]
    tuned.run(*options, "accuracy", *breaks)
    assert tuned.code == 0, tuned.text
    assert [trial.state for trial in tuned.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    reasons = [trial.user_attrs[REASON] for trial in tuned.trials[1:]]
    assert reasons[0] == "RuntimeError: no memory left in 1" and "not finite" in reasons[1]
    assert all(f"failed: {reason}" in tuned.text for reason in reasons)
    assert "The search set custom_hooks.0.how.*=no" in (tuned.work_dir / "best_weights.py").read_text()


@contextlib.contextmanager
def meanwhile(does: Callable[[], None]) -> Iterator[None]:
    """Does something beside what stands below it."""
    thread = threading.Thread(target=does)
    thread.start()
    yield
    thread.join()


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_what_is_stopped_or_killed_goes_on(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    config = tuned_config(tmp_path, model=RETINANET, evaluator=KNOWN, hooks=[dict(type="WaitsUntilHook", path=str(gate))])
    tuned = Tuned(config, tmp_path / "run")

    def interrupt() -> None:
        until(lambda: tuned.trains(0))
        os.kill(os.getpid(), signal.SIGINT)

    with meanwhile(interrupt):
        tuned.run(trials=1)
    assert tuned.code == 130 and "Run the same command to resume." in tuned.text
    assert [trial.state for trial in tuned.trials] == [TrialState.FAIL, TrialState.WAITING]

    # A whole process, that is killed; forked, as it takes seconds to import all that it needs.
    process = multiprocessing.get_context("fork").Process(target=tuned.run, kwargs=dict(trials=1))
    process.start()
    until(lambda: tuned.trains(1))
    process.kill()
    process.join()
    assert [trial.state for trial in tuned.trials] == [TrialState.FAIL, TrialState.RUNNING]

    gate.touch()
    tuned.run(trials=1)
    assert tuned.code == 0, tuned.text
    assert [trial.state for trial in tuned.trials] == [TrialState.FAIL, TrialState.FAIL, TrialState.COMPLETE]
    assert tuned.trials[2].user_attrs[KIND] == UNWEIGHTED
    assert "The best of 1 trials" in tuned.text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_share_a_study_and_one_is_killed(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    config = tuned_config(tmp_path, model=RETINANET, evaluator=KNOWN, hooks=[dict(type="WaitsUntilHook", path=str(gate))])
    tuned = Tuned(config, tmp_path / "run")

    def kill_one() -> None:
        until(lambda: tuned.trains(0) and tuned.trains(1))
        os.kill(int(tuned.trials[0].user_attrs[WORKER].rpartition("/")[2]), signal.SIGKILL)
        gate.touch()

    with meanwhile(kill_one):
        tuned.run("--workers", "2", trials=2)
    assert tuned.code == 0, tuned.text
    lost, *others = tuned.trials
    assert lost.state == TrialState.FAIL and REASON not in lost.user_attrs
    assert [trial.state for trial in others] == [TrialState.COMPLETE] * 2
    assert len({trial.user_attrs[WORKER] for trial in tuned.trials}) == 2
    assert sorted(trial.user_attrs.get(KIND, "") for trial in others) == ["", UNWEIGHTED]
    assert "died (signal 9; out of memory?)" in tuned.text
    assert all(f"trial {number}: " in tuned.text for number in (1, 2))


@pytest.mark.slow
def test_a_study_behind_optunas_proxy(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    database = f"sqlite:///{tmp_path}/shared.db"
    (proxy,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL) if "proxy" in block)
    for there, here in (("sqlite:///shared.db", database), ("0.0.0.0", "localhost"), ("13000", str(port))):
        assert there in proxy
        proxy = proxy.replace(there, here)
    server = subprocess.Popen([sys.executable, "-c", proxy], stderr=subprocess.DEVNULL)
    try:
        tuned = Tuned(tuned_config(tmp_path, model=RETINANET), tmp_path / "run")
        tuned.run("--storage", f"grpc://localhost:{port}", trials=1)
    finally:
        server.terminate()
        server.wait()
    assert tuned.code == 0, tuned.text
    (trial,) = optuna.load_study(study_name="config", storage=database).trials
    assert trial.value == 0  # COCO's evaluation gives no number where nothing was detected
    assert not (tuned.work_dir / "tune.db").exists()


@shares_a_study
def test_a_worker_elsewhere_that_falls_silent_has_its_trial_tried_again(two_stage: Tuned, tmp_path: Path) -> None:
    from headweights.tune.planning.plan import make_plan

    plan = make_plan(two_stage.config, target="real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "HEARTBEAT", 1)
        patch.setattr(studies, "GRACE", 1)
        opened = open_storage(f"sqlite:///{tmp_path}/tune.db")
    study = begin(plan, opened, "study", tmp_path)
    trial = study.ask()
    trial.set_user_attr(WORKER, "another machine/1")
    opened.record_heartbeat(trial._trial_id)
    recover(study)
    assert len(status_of(study).running) == 1
    time.sleep(2.1)  # the database counts seconds
    recover(study)
    lost, _, again = study.trials
    assert lost.state == TrialState.FAIL and again.state == TrialState.WAITING
    assert again.user_attrs[KIND] == UNWEIGHTED
    assert WORKER not in again.user_attrs
    assert not status_of(study).finished and not status_of(study).running
    # One that the sampler chose is tried again with what it chose.
    study.ask()
    drawn = study.ask()
    weight = drawn.suggest_float("rendered: rpn_head", 0.03, 3.0, log=True)
    study.tell(drawn, state=TrialState.FAIL)
    retry(study, study.trials[-1])
    assert study.ask().suggest_float("rendered: rpn_head", 0.03, 3.0, log=True) == weight


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tune.db", "not a storage address"),
        ("sqlite:////no/such/folder/tune.db", "cannot be opened"),
        ("nonsense://host/name", "nonsense"),
        ("grpc://host", "grpc://<host>:<port>"),
        ("grpc://host:port", "grpc://<host>:<port>"),
        ("grpc://localhost:1", "no Optuna proxy answers there"),
        ("postgresql+pg8000://me:secret@host/name", "No module named 'pg8000'"),
        ("nonsense://me:secret@host/name", "nonsense://me@host/name"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_named(monkeypatch: pytest.MonkeyPatch, address: str, message: str) -> None:
    monkeypatch.setattr(studies, "_PROXY_TIMEOUT", 0.5)
    with pytest.raises(WeightError) as error:
        open_storage(address)
    assert message in str(error.value) and "secret" not in str(error.value)


@shares_a_study
def test_a_study_of_another_program_is_left_alone(two_stage: Tuned, tmp_path: Path) -> None:
    study = optuna.create_study(study_name="config", storage=f"sqlite:///{tmp_path}/tune.db")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    theirs = Tuned(two_stage.config, tmp_path).run()
    assert theirs.code == 2 and "of another program" in theirs.text
    assert len(theirs.trials) == 1


@pytest.mark.parametrize("missing", ["optuna", "plotly", "pyDOE3"])
def test_without_optuna_or_its_charts_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == missing else object())
    result = CliRunner().invoke(app, ["tune", "config.py"])
    assert result.exit_code == 1
    assert result.output.strip() == f"headweights tune: the search needs {missing}: pip install optuna plotly pyDOE3 scipy"


def test_the_other_commands_work_without_optuna() -> None:
    code = (
        "import sys; sys.modules['optuna'] = None; import headweights.cli; print(sorted({'torch', 'mmdet'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_page_speaks_of_every_option() -> None:
    options = {option for parameter in typer.main.get_command(app).commands["tune"].params for option in parameter.opts}
    missing = {option for option in options if option.startswith("--") and option not in PAGE.read_text()}
    assert missing == {"--prune", "--screening"}, "the page names what turns them off"


@pytest.mark.parametrize("options", [["--trials", "0"], ["--workers", "none"], ["--seed", "-1"]])
def test_a_wrong_option_is_named(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["tune", "config.py", *options])
    assert result.exit_code == 2 and options[0] in re.sub(r"\x1b\[[0-9;]*m", "", result.output)

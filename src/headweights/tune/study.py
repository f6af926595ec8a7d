"""The study in its storage: opened or begun, how far it is, and what is done about trials whose worker died."""

from __future__ import annotations

import os
import platform
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, GrpcStorageProxy, fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from headweights.errors import WeightError
from headweights.tune.plan import GREATER, Plan
from headweights.tune.storage import WORKER, lost

# What trials carry: what they are, and why they failed.
KIND, REASON = "kind", "reason"
UNWEIGHTED, OWN = "unweighted", "config's own"
# What the study carries: what it searches, in which metric, and which it is.
_DESCRIBED, METRIC, _ID = "searches", "metric", "id"


@dataclass(frozen=True)
class Standing:
    """How far a study is.

    Args:
        finished: The trials that are over: trained to the end, given up, or failed for a reason of their own. One that was
            interrupted, or whose worker died, is tried again and does not count.
        running: The trials that are being trained.
    """

    finished: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]

    @property
    def failed(self) -> list[FrozenTrial]:
        """The trials that failed."""
        return [trial for trial in self.finished if trial.state == TrialState.FAIL]

    @property
    def complete(self) -> list[FrozenTrial]:
        """The trials that were trained to the end."""
        return [trial for trial in self.finished if trial.state == TrialState.COMPLETE]


def standing(study: optuna.Study) -> Standing:
    """How far a study is."""
    trials = study.get_trials(deepcopy=False)
    return Standing([trial for trial in trials if _is_over(trial)], [t for t in trials if t.state == TrialState.RUNNING])


def _is_over(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or (
        trial.state == TrialState.FAIL and REASON in trial.user_attrs
    )


def begin(plan: Plan, storage: BaseStorage, name: str, work_dir: Path) -> optuna.Study:
    """Opens the study of a name, or begins it: its first trials are the unweighted detector and the config's own weights.

    Raises:
        WeightError: The storage has a study of this name that searches something else, or the work directory has the trials of
            another study.
    """
    study = load(storage, name, plan.rule)
    known = study.user_attrs.get(_DESCRIBED)
    before = study.user_attrs.get(_ID)
    if known is not None and known != plan.described:
        if isinstance(storage, GrpcStorageProxy) or any(t.state != TrialState.FAIL for t in study.trials if not _waits(t)):
            raise WeightError(_differs(name, known, plan.described))
        # Nothing came of it, most likely because of what was mended since.
        optuna.delete_study(study_name=name, storage=storage)
        study = load(storage, name, plan.rule)
        known = None
    if known is None and study.trials:
        raise WeightError(f"the storage has a study {name!r} that is none of headweights tune; name another one with --study.")
    _check_direction(study, name, plan.rule)
    if known is None:
        study.set_user_attr(_DESCRIBED, plan.described)
        study.set_user_attr(_ID, uuid.uuid4().hex)
    _claim(work_dir / "trials", study.user_attrs[_ID], before)
    for kind, parameters in ((UNWEIGHTED, plan.space.unweighted), (OWN, plan.own)):
        if parameters is not None and not _is_there(study, parameters):
            study.enqueue_trial(parameters, user_attrs={KIND: kind})
    return study


def load(storage: BaseStorage, name: str, rule: str, sampler: Any = None, pruner: BasePruner | None = None) -> optuna.Study:
    """The study of a name, begun if it is not there."""
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize" if rule == GREATER else "minimize",
        sampler=sampler,
        pruner=pruner,
        load_if_exists=True,
    )


def _check_direction(study: optuna.Study, name: str, rule: str) -> None:
    if (study.direction == StudyDirection.MAXIMIZE) != (rule == GREATER):
        raise WeightError(f"the study {name!r} searches in the other direction; name another one with --study.")


def sampler_of(seed: int, worker: int, study: optuna.Study, trials: int) -> TPESampler:
    """The sampler of a worker: TPE over all weights together, after a third of the trials at random, ten at most.

    Workers, and later runs on the same study, draw other numbers; the same run draws the same.
    """
    mixed = seed * 1_000_003 + worker * 10_007 + len(study.get_trials(deepcopy=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna calls experimental
        return TPESampler(
            n_startup_trials=max(3, min(10, trials // 3)), multivariate=True, constant_liar=True, seed=mixed % 2**32
        )


def pruner_of(plan: Plan, trials: int, prune: bool) -> BasePruner:
    """Gives up a trial that is worse than the median of those before it, after the first third of its validations."""
    if not prune:
        return NopPruner()
    return MedianPruner(n_startup_trials=max(1, min(5, trials // 3)), n_warmup_steps=1 + (plan.validations or 1) // 3)


def here() -> str:
    """This machine, as the beginning of the names of its processes: its name and, on Linux, since when it runs and what counts
    its processes (a container counts its own)."""
    parts = [platform.node()]
    for path, read in (("/proc/sys/kernel/random/boot_id", Path.read_text), ("/proc/self/ns/pid", os.readlink)):
        try:
            parts.append(str(read(Path(path))).strip())
        except OSError:
            parts.append("")
    return "/".join(parts)


def recover(study: optuna.Study) -> None:
    """Has trials tried again whose worker died: at once for those of this machine, else after its signs of life have ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna calls experimental
        fail_stale_trials(study)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            machine, _, process = str(trial.user_attrs.get(WORKER, "")).rpartition("/")
            if machine == here() and not _lives(int(process)):
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                lost(study, trial)


def _lives(process: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _waits(trial: FrozenTrial) -> bool:
    return bool(trial.state == TrialState.WAITING)


def _is_there(study: optuna.Study, parameters: Mapping[str, float]) -> bool:
    return any(
        trial.state != TrialState.FAIL and parameters in (trial.params, trial.system_attrs.get("fixed_params"))
        for trial in study.get_trials(deepcopy=False)
    )


def _differs(name: str, known: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    lines = []
    for entry in dict.fromkeys((*known, *now)):
        before, after = known.get(entry), now.get(entry)
        if before != after:
            lines.append(entry if entry.startswith("config: ") else f"{entry}: {before} then, {after} now")
    return (
        f"the study {name!r} searches something else. What differs: {'; '.join(lines)}. "
        "Go on with what it searches, or begin another one with --study <name> and a --work-dir of its own."
    )


def _claim(folder: Path, study: str, before: str | None) -> None:
    """Notes in the folder of the trials which study they are of."""
    mark = folder / "study.txt"
    if mark.exists() and mark.read_text().strip() not in (study, before):
        raise WeightError(f"{folder} holds the trials of another study; name another --work-dir, or remove it.")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{study}\n")

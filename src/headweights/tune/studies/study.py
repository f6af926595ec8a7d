"""The study in its storage: opens both, reads the study's status, and recovers the trials of dead workers."""

from __future__ import annotations

import copy
import functools
import os
import platform
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from headweights.errors import WeightError
from headweights.tune.planning.plan import GREATER, Plan

# Seconds between heartbeats of a running trial, and seconds without a heartbeat before its worker is considered dead. The
# evaluation of a large data set can block Python, and so the heartbeat, for a minute.
HEARTBEAT, GRACE = 10, 180
# Seconds to wait for a proxy to answer.
_PROXY_TIMEOUT = 20
# How often a trial is retried after its worker died. The limit exists because the trial itself may kill its worker.
RETRIES = 2

# User attributes of trials: the kind of a baseline, the reason of a failure, and the worker.
KIND, REASON, WORKER = "kind", "reason", "worker"
UNWEIGHTED, OWN = "unweighted", "config's own"
# User attributes of the study: what it searches, its metric and its id.
_DESCRIBED, METRIC, _ID = "searches", "metric", "id"


def open_storage(address: str) -> BaseStorage:
    """Opens a storage.

    Args:
        address: ``sqlite:///<file>``, ``postgresql://...``, ``mysql://...`` or another URL of SQLAlchemy, or ``grpc://<host>:<port>``
            for Optuna's proxy. In a database, a trial is retried if its worker died.

    Raises:
        WeightError: It cannot be opened.
    """
    scheme, _, rest = address.partition("://")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features of Optuna
        if scheme == "grpc":
            return _proxy(address)
        if not rest:
            raise WeightError(
                f"--storage {_without_password(address)}: not a storage address, such as sqlite:///<file>, postgresql://... or "
                "grpc://<host>:<port>."
            )
        return _database(address)


def retry(study: optuna.Study, trial: FrozenTrial, most: int | None = None) -> None:
    """Puts a trial that was interrupted back into the queue.

    Args:
        study: The study.
        trial: The failed trial.
        most: The maximum number of retries. Default: None, no limit.
    """
    trial = copy.deepcopy(trial)
    trial.user_attrs.pop(WORKER, None)  # another worker will train it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features of Optuna
        RetryHeartbeatStaleTrialCallback(max_retry=most)(study, trial)


retry_after_death = functools.partial(retry, most=RETRIES)


def _database(address: str) -> BaseStorage:
    # Workers that share an SQLite file wait for each other's locks.
    options: dict[str, Any] = {"connect_args": {"timeout": 60}} if address.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        storage = RDBStorage(
            address,
            engine_kwargs=options,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=retry_after_death,
        )
    except Exception as error:  # from SQLAlchemy or any driver
        # Optuna does not name a driver that is missing; the cause does.
        cause = error.__cause__ if isinstance(error.__cause__, ModuleNotFoundError) else error
        reason = str(cause).partition("\n")[0] or type(cause).__name__
        raise WeightError(f"--storage {_without_password(address)}: it cannot be opened: {reason}") from None
    return optuna.storages.get_storage(storage)


def _proxy(address: str) -> BaseStorage:
    if find_spec("grpc") is None:
        raise WeightError(f'--storage {address}: it needs grpcio: pip install "headweights[tune]"')
    try:
        url = urlsplit(address)
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise WeightError(f"--storage {address}: the address of a proxy is grpc://<host>:<port>.")
    storage = GrpcStorageProxy(host=host, port=port)
    try:
        storage.wait_server_ready(timeout=_PROXY_TIMEOUT)
    except ConnectionError:
        raise WeightError(
            f"--storage {address}: no Optuna proxy answers there; start one with optuna.storages.run_grpc_proxy_server."
        ) from None
    return storage


def _without_password(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    login, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{login.partition(':')[0]}{at}{host}" if at else address


@dataclass(frozen=True)
class StudyStatus:
    """The finished and the running trials of a study.

    Args:
        finished: The trials that are complete, pruned, or failed by an error in the training. A trial that was interrupted or
            whose worker died is retried and not counted.
        running: The trials in training.
    """

    finished: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]

    @property
    def failed(self) -> list[FrozenTrial]:
        """The trials that failed."""
        return [trial for trial in self.finished if trial.state == TrialState.FAIL]

    @property
    def complete(self) -> list[FrozenTrial]:
        """The trials that were neither pruned nor failed."""
        return [trial for trial in self.finished if trial.state == TrialState.COMPLETE]


def status_of(study: optuna.Study) -> StudyStatus:
    """Reads the status of a study."""
    trials = study.get_trials(deepcopy=False)
    finished = [
        trial
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state == TrialState.FAIL and REASON in trial.user_attrs)
    ]
    return StudyStatus(finished, [trial for trial in trials if trial.state == TrialState.RUNNING])


def begin(plan: Plan, storage: BaseStorage, name: str, work_dir: Path) -> optuna.Study:
    """Opens a study or creates it. Its first trials are the unweighted detector and the config's own weights.

    Raises:
        WeightError: The storage has a study of this name that searches something else, or the work directory has the trials of
            another study.
    """
    study = load(storage, name, plan.rule)
    described, earlier_id = study.user_attrs.get(_DESCRIBED), study.user_attrs.get(_ID)
    if described is not None and described != plan.described:
        all_failed = all(trial.state in (TrialState.FAIL, TrialState.WAITING) for trial in study.trials)
        if isinstance(storage, GrpcStorageProxy) or not all_failed:
            raise WeightError(_difference(name, described, plan.described))
        # All its trials failed, and the user has changed something since, most likely to fix the failure.
        optuna.delete_study(study_name=name, storage=storage)
        study = load(storage, name, plan.rule)
        described = None
    if described is None:
        if study.trials or (study.direction == StudyDirection.MAXIMIZE) != (plan.rule == GREATER):
            raise WeightError(f"the storage has a study {name!r} of another program; choose another name with --study.")
        study.set_user_attr(_DESCRIBED, plan.described)
        study.set_user_attr(_ID, uuid.uuid4().hex)
    _claim(work_dir / "trials", study.user_attrs[_ID], earlier_id)
    for kind, parameters in ((UNWEIGHTED, plan.space.unweighted), (OWN, plan.own)):
        if parameters is not None and not any(
            trial.state != TrialState.FAIL and parameters in (trial.params, trial.system_attrs.get("fixed_params"))
            for trial in study.get_trials(deepcopy=False)
        ):
            study.enqueue_trial(parameters, user_attrs={KIND: kind})
    return study


def load(storage: BaseStorage, name: str, rule: str, pruner: BasePruner | None = None) -> optuna.Study:
    """Opens the study of this name, or creates it."""
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize" if rule == GREATER else "minimize",
        pruner=pruner,
        load_if_exists=True,
    )


def sampler_of(seed: int, worker: int, study: optuna.Study, trials: int) -> TPESampler:
    """The sampler of a worker: multivariate TPE, after random draws for a third of the trials (ten at most).

    Each worker, and each later run on the same study, has its own seed. Repeating a run repeats its draws. With `trials` 0 three
    are at random.
    """
    own_seed = seed * 1_000_003 + worker * 10_007 + len(study.get_trials(deepcopy=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features of Optuna
        return TPESampler(
            n_startup_trials=max(3, min(10, trials // 3)), multivariate=True, constant_liar=True, seed=own_seed % 2**32
        )


def pruner_of(plan: Plan, trials: int, prune: bool) -> BasePruner:
    """A pruner that stops a trial that is worse than the median of earlier trials, after the first third of its validations."""
    if not prune:
        return NopPruner()
    return MedianPruner(n_startup_trials=max(1, min(5, trials // 3)), n_warmup_steps=1 + (plan.validations or 1) // 3)


def machine() -> str:
    """Identifies the machine, so that process ids on it are comparable: its name and, on Linux, its boot and pid namespace."""
    parts = [platform.node()]
    for path, read in (("/proc/sys/kernel/random/boot_id", Path.read_text), ("/proc/self/ns/pid", os.readlink)):
        try:
            parts.append(str(read(Path(path))).strip())
        except OSError:
            parts.append("")
    return "/".join(parts)


def recover(study: optuna.Study) -> None:
    """Retries the trials of dead workers. A dead worker on this machine is found at once, others by their missing heartbeats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features of Optuna
        fail_stale_trials(study)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            where, _, process = str(trial.user_attrs.get(WORKER, "")).rpartition("/")
            if where == machine() and not _is_alive(int(process)):
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                retry_after_death(study, trial)


def _is_alive(process: int) -> bool:
    if os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it is alive, as another user's process
            pass
    return True


def _difference(name: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    lines = []
    for entry in dict.fromkeys((*earlier, *now)):
        if earlier.get(entry) != now.get(entry):
            lines.append(entry if entry.startswith("config: ") else f"{entry}: was {earlier.get(entry)}, is {now.get(entry)}")
    return (
        f"the study {name!r} searches something else. It differs in {'; '.join(lines)}. "
        "Restore these settings to resume it, or start another study with --study <name> and its own --work-dir."
    )


def _claim(folder: Path, study: str, earlier: str | None) -> None:
    """Records in the trials' folder which study they belong to."""
    mark = folder / "study.txt"
    if mark.exists() and mark.read_text().strip() not in (study, earlier):
        raise WeightError(f"{folder} has the trials of another study; choose another --work-dir, or remove the folder.")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{study}\n")

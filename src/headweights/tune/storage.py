"""Opens Optuna's storage: SQLite, any other database of SQLAlchemy, Optuna's gRPC proxy or a journal file."""

from __future__ import annotations

import copy
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial

from headweights.errors import WeightError

# Seconds between heartbeats of a running trial, and seconds without a heartbeat before its worker is considered dead. The
# evaluation of a large data set can block Python, and so the heartbeat, for a minute.
HEARTBEAT, GRACE = 10, 180
# Seconds to wait for a proxy to answer.
_PROXY_TIMEOUT = 20
# How often a trial is retried after its worker died. The limit exists because the trial itself may kill its worker.
RETRIES = 2

# The user attribute of a trial that names its worker.
WORKER = "worker"


def default_storage(work_dir: Path) -> str:
    """The address of the SQLite file in a work directory."""
    return f"sqlite:///{work_dir.absolute() / 'tune.db'}"


def open_storage(address: str) -> BaseStorage:
    """Opens a storage.

    Args:
        address: ``sqlite:///<file>``, ``postgresql://...``, ``mysql://...`` or another URL of SQLAlchemy; ``grpc://<host>:<port>``
            for Optuna's proxy; ``journal://<file>`` for its journal. In a database, a trial is retried if its worker died.

    Raises:
        WeightError: It cannot be opened.
    """
    scheme, _, rest = address.partition("://")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features of Optuna
        if scheme == "grpc":
            return _proxy(address)
        if scheme == "journal" and rest:
            from optuna.storages.journal import JournalFileBackend

            try:
                return JournalStorage(JournalFileBackend(rest))
            except OSError as error:
                raise WeightError(f"--storage {_without_password(address)}: {error}") from None
        if not rest:
            raise WeightError(
                f"--storage {_without_password(address)}: not a storage address, such as sqlite:///<file>, postgresql://... or "
                "grpc://<host>:<port>."
            )
        return _database(address)


def retry_after_death(study: optuna.Study, trial: FrozenTrial) -> None:
    """Puts a trial whose worker died back into the queue, a limited number of times."""
    retry(study, trial, RETRIES)


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


def detects_dead_workers(storage: BaseStorage) -> bool:
    """Whether the storage detects the death of a worker on another machine. A database does, by its missing heartbeats."""
    return not isinstance(storage, (GrpcStorageProxy, JournalStorage))


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
    except ModuleNotFoundError as error:
        raise WeightError(f"--storage {_without_password(address)}: it needs {error.name}: pip install {error.name}") from None
    except ImportError as error:
        raise WeightError(f"--storage {_without_password(address)}: {str(error).splitlines()[0]}") from None
    except Exception as error:  # from SQLAlchemy or any driver
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
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

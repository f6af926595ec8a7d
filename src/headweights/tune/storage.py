"""Where Optuna keeps a study: SQLite, any database that SQLAlchemy opens, Optuna's gRPC proxy, a journal file."""

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

# Seconds: how often a running trial shows that it lives, and after what silence it is taken for dead. The evaluation of a
# large data set can keep Python, and so the sign of life, waiting for a minute.
HEARTBEAT, GRACE = 10, 180
# Seconds that a proxy may take to answer.
_PATIENCE = 20
# How often a trial whose worker died is tried again: it may be what killed the worker.
RETRIES = 2

# What a trial carries to say who trains it.
WORKER = "worker"


def default_storage(work_dir: Path) -> str:
    """The SQLite file in a work directory."""
    return f"sqlite:///{work_dir.absolute() / 'tune.db'}"


def open_storage(address: str) -> BaseStorage:
    """Opens a storage.

    Args:
        address: ``sqlite:///<file>``, ``postgresql://...``, ``mysql://...`` or what else SQLAlchemy takes; ``grpc://<host>:<port>``
            for Optuna's proxy; ``journal://<file>`` for its journal. In a database, a trial whose worker died is tried again.

    Raises:
        WeightError: It cannot be opened.
    """
    scheme, _, rest = address.partition("://")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna calls experimental
        if scheme == "grpc":
            return _proxy(address)
        if scheme == "journal" and rest:
            from optuna.storages.journal import JournalFileBackend

            try:
                return JournalStorage(JournalFileBackend(rest))
            except OSError as error:
                raise WeightError(f"--storage {_shown(address)}: {error}") from None
        if not rest:
            raise WeightError(
                f"--storage {_shown(address)}: it is no address: sqlite:///<file>, postgresql://..., grpc://<host>:<port>."
            )
        return _database(address)


def lost(study: optuna.Study, trial: FrozenTrial) -> None:
    """Puts a trial whose worker died in the queue again, unless it may be what kills its workers."""
    try_again(study, trial, RETRIES)


def try_again(study: optuna.Study, trial: FrozenTrial, most: int | None = None) -> None:
    """Puts a trial that ended through no fault of its own in the queue again.

    Args:
        study: The study.
        trial: The trial, failed.
        most: How often, at most. Default: None, always.
    """
    trial = copy.deepcopy(trial)
    trial.user_attrs.pop(WORKER, None)  # the next one who trains it is another one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna calls experimental
        RetryHeartbeatStaleTrialCallback(max_retry=most)(study, trial)


def notices_death(storage: BaseStorage) -> bool:
    """Whether a storage notices that a worker on another machine has died: a database does, by signs of life that have ended."""
    return not isinstance(storage, (GrpcStorageProxy, JournalStorage))


def _database(address: str) -> BaseStorage:
    # Workers that share a file wait for each other.
    options: dict[str, Any] = {"connect_args": {"timeout": 60}} if address.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        storage = RDBStorage(
            address,
            engine_kwargs=options,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=lost,
        )
    except ModuleNotFoundError as error:
        raise WeightError(f"--storage {_shown(address)}: it needs {error.name}: pip install {error.name}") from None
    except ImportError as error:
        raise WeightError(f"--storage {_shown(address)}: {str(error).splitlines()[0]}") from None
    except Exception as error:  # SQLAlchemy's, and those of every driver
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightError(f"--storage {_shown(address)}: it cannot be opened: {said}") from None
    return optuna.storages.get_storage(storage)


def _proxy(address: str) -> BaseStorage:
    if find_spec("grpc") is None:
        raise WeightError(f'--storage {address}: it needs grpcio: pip install "headweights[tune]"')
    try:
        place = urlsplit(address)
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise WeightError(f"--storage {address}: the address of a proxy is grpc://<host>:<port>.")
    storage = GrpcStorageProxy(host=host, port=port)
    try:
        storage.wait_server_ready(timeout=_PATIENCE)
    except ConnectionError:
        raise WeightError(
            f"--storage {address}: no Optuna proxy answers there; one is started with optuna.storages.run_grpc_proxy_server."
        ) from None
    return storage


def _shown(address: str) -> str:
    """An address without its password."""
    scheme, separator, rest = address.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{login.partition(':')[0]}{at}{place}" if at else address

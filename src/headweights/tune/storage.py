"""Opens Optuna's storage: SQLite, any other database of SQLAlchemy, or Optuna's gRPC proxy."""

from __future__ import annotations

import copy
import functools
import warnings
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, RetryHeartbeatStaleTrialCallback
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

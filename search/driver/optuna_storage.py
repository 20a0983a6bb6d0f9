"""What `--storage` may say: where Optuna keeps a study that several processes search."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from hdap.fleet_data.errors import HdapError, StoreError
from hdap.fleet_data.store.engine import one_line
from hdap.fleet_data.store.optuna_schema import optuna_home

GRPC_SECONDS = 10.0
TRIES, TRY_AGAIN_SECONDS = 5, 0.5
JOURNAL = ".journal"
"""A path that ends so is a file of Optuna's journal."""


def open_storage(text: str) -> BaseStorage:
    """A storage of Optuna's: a database, the gRPC proxy of one, or a journal file.

    PostgreSQL by `postgresql://...`, SQLite by `sqlite:///FILE`, the proxy by `grpc://HOST:PORT`, a
    journal by a path that ends in `.journal`. Where a PostgreSQL database is hdap's own, Optuna's
    tables get a schema of their own in it.

    Raises:
        StoreError: it cannot be reached, its driver is missing, or it is hdap's own SQLite file.
    """
    with storage_faults(text):
        if text.startswith("grpc://"):
            return _proxy(text)
        if text.endswith(JOURNAL) and "://" not in text:
            return _journal(Path(text).expanduser())
        return _database(optuna_home(text))


@contextmanager
def storage_faults(text: str) -> Iterator[None]:
    """What a storage's libraries raise, as one line of ours without a password."""
    try:
        yield
    except (HdapError, KeyboardInterrupt):
        raise
    except Exception as error:
        if not _of_a_storage(error):
            raise
        place = urlsplit(text)
        shown = text.replace(f":{place.password}@", ":***@") if place.password else text
        cause = error.__cause__ or error
        said = one_line(cause)
        if place.password:
            said = said.replace(place.password, "***")
        raise StoreError(
            f"Optuna's storage {shown} must be reachable, but said: {said}; check it and try again"
        ) from error


def _of_a_storage(error: Exception) -> bool:
    home = type(error).__module__.split(".")[0]
    storage = isinstance(error, optuna.exceptions.StorageInternalError | OSError | ImportError)
    return storage or home in ("sqlalchemy", "psycopg", "grpc")


def _database(url: str) -> BaseStorage:
    """Two processes that make Optuna's tables at once get in each other's way; both try again."""
    for _ in range(TRIES - 1):
        try:
            return optuna.storages.get_storage(url)
        except Exception as error:
            said = str(error).lower()
            if not any(sign in said for sign in ("already exists", "duplicate", "unique")):
                raise
        time.sleep(TRY_AGAIN_SECONDS)
    return optuna.storages.get_storage(url)


def _proxy(text: str) -> BaseStorage:
    place = urlsplit(text)
    if not place.hostname or not place.port:
        raise StoreError(f"a gRPC proxy must be grpc://HOST:PORT, but got {text!r}")
    if find_spec("grpc") is None:
        raise StoreError("a gRPC proxy needs grpcio: pip install 'hdap[grpc]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = GrpcStorageProxy(host=place.hostname, port=place.port)
    storage.wait_server_ready(timeout=GRPC_SECONDS)
    return storage


def _journal(path: Path) -> BaseStorage:
    if not path.parent.is_dir():
        raise StoreError(f"the journal's directory must exist, {path.parent} does not: create it")
    backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))
    return JournalStorage(backend)

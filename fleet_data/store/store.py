"""The store: everything hdap knows, in one SQLite file or PostgreSQL database."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from hdap.fleet_data.errors import StoreError
from hdap.fleet_data.store.architectures import ArchitectureStore
from hdap.fleet_data.store.assignment_store import AssignmentStore
from hdap.fleet_data.store.clusterings import ClusteringStore
from hdap.fleet_data.store.engine import (
    DEFAULT_URL,
    Database,
    can_be_written,
    has_log,
    parse_url,
    shown,
)
from hdap.fleet_data.store.history_store import HistoryStore
from hdap.fleet_data.store.ingest_store import IngestStore
from hdap.fleet_data.store.measurements import MeasurementStore
from hdap.fleet_data.store.migrate import OutdatedError, migrate
from hdap.fleet_data.store.network_store import NetworkStore
from hdap.fleet_data.store.query import QueryStore
from hdap.fleet_data.store.studies import StudyStore
from hdap.fleet_data.store.trial_store import TrialStore
from hdap.fleet_data.store.unit_store import UnitStore


class Store(
    ArchitectureStore,
    IngestStore,
    MeasurementStore,
    ClusteringStore,
    StudyStore,
    TrialStore,
    AssignmentStore,
    NetworkStore,
    QueryStore,
    UnitStore,
    HistoryStore,
):
    """Records in, records out; every method is one transaction.

    A store may be used by several threads and opened by several processes at once. Any method
    raises StoreError when the database cannot be reached, is locked, full or damaged.
    """

    @classmethod
    def open(cls, url: str = DEFAULT_URL, *, create: bool = True, read_only: bool = False) -> Self:
        """Open and, where needed, create or upgrade the store at a URL or path.

        With `read_only` nothing but an upgrade is written; a database that cannot be written at all
        can be opened so. Raises StoreError: no database there (`create` false or `read_only`), not
        one of hdap's, of a newer version, unreachable, not writable, or its driver is not
        installed.
        """
        location = parse_url(url)
        if location.drivername == "sqlite":
            path = Path(str(location.database))
            _check_path(path, create=create and not read_only, read_only=read_only)
        try:
            return cls(_ready(location, create, read_only))
        except OutdatedError:
            if not can_be_written(location):
                raise
            _ready(location, False, False).close()
            return cls(_ready(location, create, read_only))

    @property
    def name(self) -> str:
        """Where the store is, without a password."""
        return shown(self._database.url)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _ready(location: sa.URL, create: bool, read_only: bool) -> Database:
    """The database, at the schema of this version."""
    database = Database(location, read_only=read_only)
    try:
        migrate(database, create=create)
    except BaseException:
        database.close()
        raise
    return database


def _check_path(path: Path, *, create: bool, read_only: bool) -> None:
    if path.is_dir():
        raise StoreError(f"the database must be a file, {path} is a directory: name a file in it")
    if not path.parent.is_dir():
        raise StoreError(f"the database's directory must exist, {path.parent} does not: create it")
    if not create and not path.exists():
        raise StoreError(f"there is no database {path}: run `hdap ingest` first or give --db")
    if can_be_written(sa.URL.create("sqlite", database=str(path))):
        return
    if read_only:
        _check_log(path)
        return
    if not path.exists():
        raise StoreError(f"{path} must be in a folder that can be written: give another with --db")
    raise StoreError(
        f"the database {path} must be writable for this, but it or its folder is read-only: copy "
        "it to where it can be written (status, devices, trials, sql, report, plot only read it)"
    )


def _check_log(path: Path) -> None:
    """A log is read by its index, which SQLite makes where it is missing."""
    if (
        has_log(path)
        and not path.with_name(f"{path.name}-shm").exists()
        and not os.access(path.parent, os.W_OK)
    ):
        raise StoreError(
            f"the database {path} has a log ({path.name}-wal) that cannot be read in a read-only "
            "folder: copy both to where they can be written"
        )

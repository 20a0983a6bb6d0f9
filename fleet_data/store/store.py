"""The store: everything hdap knows, in one SQLite file or PostgreSQL database."""

from pathlib import Path
from types import TracebackType
from typing import Self

from hdap.fleet_data.errors import StoreError
from hdap.fleet_data.store.architectures import ArchitectureStore
from hdap.fleet_data.store.clusterings import ClusteringStore
from hdap.fleet_data.store.engine import DEFAULT_URL, Database, parse_url, shown
from hdap.fleet_data.store.ingest_writer import IngestStore
from hdap.fleet_data.store.measurements import MeasurementStore
from hdap.fleet_data.store.migrate import migrate
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
    NetworkStore,
    QueryStore,
    UnitStore,
):
    """Records in, records out; every method is one transaction.

    A store may be used by several threads and opened by several processes at once. Any method
    raises StoreError when the database cannot be reached, is locked, full or damaged.
    """

    @classmethod
    def open(cls, url: str = DEFAULT_URL, *, create: bool = True, read_only: bool = False) -> Self:
        """Open and, where needed, create or upgrade the store at a URL or path.

        Raises StoreError: no database there (`create` false or `read_only`), not one of hdap's, of
        a newer version, unreachable, or its driver is not installed.
        """
        location = parse_url(url)
        if location.drivername == "sqlite":
            _check_path(Path(str(location.database)), create=create and not read_only)
        database = Database(location, read_only=read_only)
        try:
            migrate(database, create=create)
        except BaseException:
            database.close()
            raise
        return cls(database)

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


def _check_path(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise StoreError(f"the database must be a file, {path} is a directory: name a file in it")
    if not path.parent.is_dir():
        raise StoreError(f"the database's directory must exist, {path.parent} does not: create it")
    if not create and not path.exists():
        raise StoreError(f"there is no database {path}: run `hdap ingest` first or give --db")

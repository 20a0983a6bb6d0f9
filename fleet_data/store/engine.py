"""Where a store is, connections to it, and what its database says, as one line each."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from hdap.fleet_data.errors import HdapError, InputError, StoreError

DEFAULT_URL = "sqlite:///hdap.db"
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")
_HIDDEN = "***"
_SECRET = frozenset({"password", "sslpassword"})
"""What of a URL's query is as secret as its password."""
_REMEDY = "give a path, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
BUSY_SECONDS = 30
_BUSY_PAUSE = 0.01
_BULK_CACHE_KIB = 96 * 1024
_SORTING_THREADS = 2
"""Beside SQLite's own: indexes of millions of rows are sorted in parts."""
_SERVER_OPTIONS = {"connect_timeout": 10, "application_name": "hdap"}
_KNOWN = (
    ("database is locked", "is locked by another process: wait for it to end, then try again"),
    ("database schema is locked", "is locked by another process: wait, then try again"),
    ("lock timeout", "is locked by another process: wait for it to end, then try again"),
    ("disk is full", "cannot grow, the disk is full: free some space"),
    ("no space left", "cannot grow, the disk is full: free some space"),
    ("disk i/o error", "cannot be read or written (disk I/O error): check the disk"),
    ("file is not a database", "is a file but not a database: choose another path"),
    ("disk image is malformed", "is damaged: restore it from a copy"),
    ("unable to open database", "cannot be opened: check that the path and its rights are right"),
    ("readonly database", "is read-only: check the rights of the file and its folder"),
    ("could not translate host name", "has a host name that is not known: check the URL"),
    ("failed to resolve host", "has a host name that is not known: check the URL"),
    ("connection refused", "is not reachable: check that the server runs and the URL is right"),
    ("timeout expired", "is not reachable: check that the server runs and the URL is right"),
    ("no such file or directory", "is not reachable: check that the server runs"),
    ("password authentication failed", "refuses the user or the password: check the URL"),
    ("no password supplied", "wants a password: put it into the URL or into ~/.pgpass"),
)


def parse_url(text: str) -> sa.URL:
    """The URL of a store. Raises StoreError for a kind of database that is not supported."""
    if "://" not in text:
        return _sqlite(text)
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"the database must be a URL or a path: {_REMEDY}") from error
    if url.drivername == "sqlite":
        return _sqlite(url.database or "")
    if url.drivername in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    raise StoreError(f"the database must be SQLite or PostgreSQL, got {url.drivername}: {_REMEDY}")


def shown(url: sa.URL) -> str:
    """The URL for messages: a path for SQLite, no password for PostgreSQL."""
    if url.drivername == "sqlite":
        return str(url.database)
    return _masked(url.set(drivername="postgresql"))


def without_password(text: str) -> str:
    """A database as it was typed, for the screen; what is no URL stays."""
    if "://" not in text:
        return text
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        scheme, _, rest = text.partition("://")
        user, at, host = rest.rpartition("@")
        return f"{scheme}://{user.partition(':')[0]}{at}{host}"
    return _masked(url) if url.password or _SECRET & url.query.keys() else text


def _masked(url: sa.URL) -> str:
    secret = dict.fromkeys(_SECRET & url.query.keys(), _HIDDEN)
    text = url.update_query_dict(secret).render_as_string(hide_password=True)
    return text.replace(quote(_HIDDEN), _HIDDEN)


def _sqlite(path: str) -> sa.URL:
    if path in ("", ":memory:"):
        raise StoreError("the SQLite store must be a file, got a database in memory: name a file")
    return sa.URL.create("sqlite", database=str(Path(path).expanduser()))


def can_be_written(location: sa.URL) -> bool:
    """Whether a database could be opened for writing, as far as that is seen from outside: SQLite
    needs to write into its folder, too. A server is asked when it is written to."""
    if location.drivername != "sqlite":
        return True
    path = Path(str(location.database))
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


class Database:
    """One database: an engine, and transactions on it.

    Transactions on SQLite begin IMMEDIATE when they write, so two writers wait for each other
    instead of failing half-way; readers never wait (WAL).
    """

    def __init__(self, url: sa.URL, *, read_only: bool = False) -> None:
        self.url = url
        self.read_only = read_only
        self.is_sqlite = url.drivername == "sqlite"
        self.engine = _sqlite_engine(url, read_only) if self.is_sqlite else _server_engine(url)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A consistent view of the database; nothing is written. Raises StoreError."""
        with self._translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                # by default each statement of PostgreSQL sees what others committed until then
                mode = "REPEATABLE READ" + (", READ ONLY" if self.read_only else "")
                connection.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL {mode}")
            yield connection
            connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back on any error. Raises StoreError."""
        if self.read_only:
            raise self._is_read_only()
        with self._translated(), self.engine.connect() as connection, connection.begin():
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def bulk_writing(self) -> Iterator[sa.Connection]:
        """`writing` for millions of rows whose references the caller made itself: SQLite gets a
        large cache and does not look up each foreign key."""
        if not self.is_sqlite:
            with self.writing() as connection:
                yield connection
            return
        if self.read_only:
            raise self._is_read_only()
        with self._translated(), self.engine.connect() as connection:
            driver = driver_connection(connection)
            try:
                driver.execute("PRAGMA foreign_keys=OFF")  # takes effect outside transactions only
                driver.execute(f"PRAGMA cache_size=-{_BULK_CACHE_KIB}")
                driver.execute(f"PRAGMA threads={_SORTING_THREADS}")
                with connection.begin():
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                    yield connection
            finally:
                connection.invalidate()  # a fresh connection has the usual settings again

    @contextmanager
    def outside_transactions(self) -> Iterator[sa.Connection]:
        """A connection whose statements each stand alone, as VACUUM must. Raises StoreError."""
        if self.read_only:
            raise self._is_read_only()
        level = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(**level)

    def fold_log(self) -> None:
        """Bring what SQLite committed to its log into the database file; the log is emptied, unless
        others read it. What is not folded now is not lost: later openers do it. Raises StoreError.
        """
        if self.is_sqlite:
            with self._translated(), self.engine.connect() as connection:
                driver_connection(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise translate(error, self.url) from error
        except Exception as error:
            if type(error).__module__.split(".")[0] == "psycopg":
                raise translate(error, self.url) from error
            raise

    def _is_read_only(self) -> StoreError:
        return StoreError(
            f"the database {shown(self.url)} must be writable for this, but is read-only: copy it "
            "to where it can be written"
        )

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def sqlite_uri(path: str, mode: str) -> str:
    """An SQLite URI that opens `path` in `mode` (`ro`, `rw` or `rwc`).

    Where a reader may write nothing at all, SQLite cannot make the shared index of a WAL database
    and the file is read as one that does not change.
    """
    file = Path(path).absolute()
    uri = f"file:{quote(str(file))}?mode={mode}"
    frozen = mode == "ro" and not os.access(file.parent, os.W_OK) and not has_log(file)
    return f"{uri}&immutable=1" if frozen else uri


def has_log(database: Path) -> bool:
    """Whether an SQLite file has a log beside it of what is not yet in itself."""
    log = database.with_name(f"{database.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _sqlite_engine(url: sa.URL, read_only: bool) -> sa.Engine:
    uri = sqlite_uri(str(url.database), "ro" if read_only else "rwc")

    def connect() -> sqlite3.Connection:
        # isolation_level=None: the driver begins nothing by itself, `writing` does
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare_sqlite(connection, read_only)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool)


def _prepare_sqlite(connection: sqlite3.Connection, read_only: bool) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
        return
    connection.execute("PRAGMA synchronous=NORMAL")
    _write_ahead(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch a fresh file to WAL. SQLite does not wait for another opener that switches it just
    then, whatever the timeout, so this does."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(_BUSY_PAUSE)


def _server_engine(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(url, connect_args=dict(_SERVER_OPTIONS), pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise StoreError(
            "a PostgreSQL store needs the psycopg driver: pip install 'hdap[postgres]'"
        ) from error


def driver_connection(connection: sa.Connection) -> Any:
    """The DBAPI connection below, for the bulk paths of each database."""
    return connection.connection.driver_connection


def translate(error: Exception, url: sa.URL) -> HdapError:
    """What a database said, as an error of hdap that never shows a password."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = one_line(original)
    if url.password:
        said = said.replace(str(url.password), "***")
    for sign, meaning in _KNOWN:
        if sign in said.lower():
            return StoreError(f"the database {shown(url)} {meaning}")
    if "does not exist" in said and "database" in said:
        return StoreError(f"the database {shown(url)} does not exist: create it on the server")
    return StoreError(f"the database {shown(url)} failed: {said}")


def rejected_statement(error: Exception) -> InputError:
    """A statement of the user's that the database refused, in the database's words."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return InputError(f"the query must be valid read-only SQL: {one_line(original)}")


def one_line(error: BaseException) -> str:
    """The message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def is_busy(error: BaseException) -> bool:
    """Whether SQLite gave up waiting for a lock."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)

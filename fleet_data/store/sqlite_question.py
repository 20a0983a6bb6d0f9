"""A statement of a person's on SQLite: it reads, it ends, and it takes bounded memory.

What it may do is decided by SQLite itself, which asks `_authorize` about every part of a statement
before any of it runs. It runs on a thread of its own: a single function of SQL can take minutes
(`instr` of long texts), in which nothing but leaving that thread alone ends the wait.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import QueryLimits, QueryRows
from hdap.fleet_data.store.engine import (
    BUSY_SECONDS,
    Database,
    rejected_statement,
    sqlite_uri,
    translate,
)

LONGEST_VALUE = 64 * 2**20
"""Bytes of a text, blob or row: the largest that hdap stores itself is half of that, the
fingerprints of a million devices."""
_BATCH = 256
_BATCH_BYTES = 4 * 2**20
"""Rows that are handed over at once, and as soon as they hold so much."""
_CELL = 64
"""About what Python adds to a value."""
_PATIENCE_S = 1.0
"""How long an interrupted statement has to stop before it is left alone."""

_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_PRAGMAS = {"table_info", "table_list", "table_xinfo", "index_list", "index_info"}
_END = object()


def out_of_time(seconds: float) -> InputError:
    """The error for a statement that was stopped."""
    return InputError(
        f"the query must end within {seconds:g} s, but did not and was stopped: ask for less, or "
        "give it longer with --timeout"
    )


def row_bytes(row: tuple[Any, ...]) -> int:
    """About what a row takes in memory."""
    return sum(_CELL + (len(x) if isinstance(x, str | bytes) else 0) for x in row)


@contextmanager
def sqlite_rows(
    database: Database, sql: str, parameters: Any, limits: QueryLimits
) -> Iterator[QueryRows]:
    """The rows of one statement, as they are read. Raises InputError and StoreError."""
    question = _Question(database, sql, parameters, limits)
    try:
        yield QueryRows(question.columns(), question.rows())
    finally:
        question.stop()


class _Question:
    """One statement on a connection and a thread of its own, a few batches of rows ahead."""

    def __init__(self, database: Database, sql: str, parameters: Any, limits: QueryLimits) -> None:
        self._database, self._limits = database, limits
        self._sql = sql
        self._parameters = dict(parameters) if isinstance(parameters, Mapping) else parameters
        self._left = limits.seconds
        self._stopped = threading.Event()
        self._answers: queue.Queue[Any] = queue.Queue(maxsize=2)
        try:
            self._connection = self._connect()
        except sqlite3.Error as error:
            raise translate(error, database.url) from error
        self._thread = threading.Thread(target=self._run, name="query", daemon=True)
        self._thread.start()

    def columns(self) -> tuple[str, ...]:
        found: tuple[str, ...] = self._next()
        return found

    def rows(self) -> Iterator[tuple[Any, ...]]:
        while (batch := self._next()) is not _END:
            yield from batch

    def stop(self) -> None:
        """End the statement where it has not ended; one that does not is left behind."""
        self._stopped.set()
        until = time.monotonic() + _PATIENCE_S
        while self._thread.is_alive() and time.monotonic() < until:
            self._connection.interrupt()
            self._thread.join(0.02)
        if not self._thread.is_alive():
            self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        uri = sqlite_uri(str(self._database.url.database), "ro")
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
        connection.execute("PRAGMA query_only=ON")
        if self._limits.memory_mib is not None:
            connection.execute(f"PRAGMA hard_heap_limit={self._limits.memory_mib * 2**20}")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        connection.set_authorizer(_authorize)
        return connection

    def _next(self) -> Any:
        """What the thread has next; only the time that is spent waiting counts."""
        began = time.monotonic()
        try:
            found = self._answers.get(timeout=self._left)
        except queue.Empty as late:
            assert self._limits.seconds is not None
            raise out_of_time(self._limits.seconds) from late
        if self._left is not None:
            self._left = max(0.0, self._left - (time.monotonic() - began))
        if isinstance(found, BaseException):
            raise self._told(found) from found
        return found

    def _run(self) -> None:
        try:
            cursor = self._connection.execute(self._sql, self._parameters)
            self._hand_over(tuple(column[0] for column in cursor.description or ()))
            batch, held = [], 0
            for row in cursor:
                batch.append(row)
                held += row_bytes(row)
                if len(batch) == _BATCH or held > _BATCH_BYTES:
                    self._hand_over(batch)
                    batch, held = [], 0
            self._hand_over(batch)
            self._hand_over(_END)
        except Exception as error:  # whatever it is, it is raised where the rows are read
            self._hand_over(error)

    def _hand_over(self, answer: Any) -> None:
        """Wait until there is room for it, or nobody wants it any more."""
        while not self._stopped.is_set():
            try:
                self._answers.put(answer, timeout=0.1)
                return
            except queue.Full:
                continue

    def _told(self, error: BaseException) -> BaseException:
        if isinstance(error, MemoryError):
            return InputError(
                f"the query must fit into {self._limits.memory_mib} MiB of memory, but does not: "
                "ask for less"
            )
        if isinstance(error, sqlite3.DataError) and "too big" in str(error):
            return InputError(
                f"every value must be at most {LONGEST_VALUE >> 20} MiB, but the query makes or "
                "reads a larger one: ask for less"
            )
        if isinstance(error, sqlite3.OperationalError) and (
            "locked" in str(error) or "unable to open" in str(error)
        ):
            return translate(error, self._database.url)
        if isinstance(error, sqlite3.DatabaseError) and (
            "not authorized" in str(error) or "authorization denied" in str(error)
        ):
            return InputError(
                "the query must be one SELECT, WITH, VALUES or EXPLAIN that reads, but this one "
                "does more: nothing of it was run"
            )
        refusals = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError)
        return rejected_statement(error) if isinstance(error, refusals) else error


def _authorize(action: int, first: str | None, *_: str | None) -> int:
    if action in _READING or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY

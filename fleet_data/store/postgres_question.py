"""A statement of a person's on PostgreSQL: it reads, it ends, and it has no rights to do more.

Each of these alone would do, and they fail for different reasons: `read_statement` lets nothing
through but a query; the server gets it as the query of a cursor in a transaction that cannot write;
no function runs that acts; and a superuser's rights are put down first.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import QueryLimits, QueryRows
from hdap.fleet_data.store.engine import Database, driver_connection, rejected_statement
from hdap.fleet_data.store.reading_statement import ReadingStatement, called_names, read_statement
from hdap.fleet_data.store.sqlite_question import out_of_time

_TOKENS = re.compile(
    r"'(?:[^']|'')*'"  # a text, where a colon is a colon
    r'|"(?:[^"]|"")*"'
    r"|--[^\n]*|/\*.*?\*/"
    r"|::|:(?P<name>[A-Za-z_]\w*)|%",
    re.DOTALL,
)
_READER = "pg_read_all_data"
_CURSOR = "hdap_question"
_MOST_AT_ONCE = 1000
_BUILT_IN = 16384
"""Objects of PostgreSQL's own have numbers below."""
_HARMLESS = (
    *("random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7"),
    *("clock_timestamp", "timeofday", "pg_relation_size", "pg_table_size", "pg_indexes_size"),
    *("pg_total_relation_size", "pg_database_size", "pg_tablespace_size"),
    *("array_sample", "array_shuffle", "system", "bernoulli"),
)
"""Functions that PostgreSQL calls volatile though all they do is answer."""
_ACTING = f"""
SELECT DISTINCT proname FROM pg_catalog.pg_proc
WHERE proname = ANY(%s) AND provolatile <> 'i'
  AND NOT (oid < {_BUILT_IN} AND (provolatile = 's' OR proname = ANY(%s)))
ORDER BY proname
"""


@contextmanager
def postgres_rows(
    database: Database, sql: str, parameters: Any, limits: QueryLimits
) -> Iterator[QueryRows]:
    """The rows of one statement, as they are read. Raises InputError and StoreError."""
    statement, names = read_statement(sql), called_names(sql)
    with database.reading() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        driver = driver_connection(connection)
        with driver.cursor() as cursor:
            # from the first snapshot on, a transaction cannot be made writable again
            _require_answering(cursor, names)
            remarks = _put_rights_down(cursor)
        yield _begin(driver, statement, parameters, limits, remarks)


def _require_answering(cursor: "psycopg.Cursor[Any]", names: set[str]) -> None:
    acting = cursor.execute(_ACTING, (sorted(names), list(_HARMLESS))).fetchall()
    if acting:
        raise InputError(
            f"the query must only read, but it names {acting[0][0]}(), a function that may act: "
            "nothing of it was run; a value with that word in it goes into --param"
        )


def _put_rights_down(cursor: "psycopg.Cursor[Any]") -> tuple[str, ...]:
    """For this transaction, where the role is a superuser; what is to be said of that."""
    found = cursor.execute(
        "SELECT rolname, rolsuper, EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %s) "
        "FROM pg_catalog.pg_roles WHERE rolname = current_user",
        (_READER,),
    ).fetchone()
    name, superuser, reader = found or ("?", False, False)
    if not superuser:
        return ()
    remedy = "connect with a role that may only read"
    if not reader:
        return (f"the role {name} is a superuser and this server has no {_READER}; {remedy}",)
    cursor.execute(f"SET LOCAL ROLE {_READER}")
    return (f"the role {name} is a superuser; the query had the rights of {_READER}; {remedy}",)


def _begin(
    driver: "psycopg.Connection[Any]",
    statement: ReadingStatement,
    parameters: Any,
    limits: QueryLimits,
    remarks: tuple[str, ...],
) -> QueryRows:
    """Declare the cursor, so that its columns are known."""
    left = _TimeLeft(driver, limits.seconds)
    cursor = driver.cursor()
    sql = statement.declared(_CURSOR)
    if isinstance(parameters, Mapping) and parameters:
        sql = _TOKENS.sub(_placeholder, sql)
    with left.counted():
        # a prepared statement is one statement
        cursor.execute(sql.encode(), parameters or None, prepare=True)
    if statement.explain is not None:
        return QueryRows(_columns(cursor), iter(cursor.fetchall()), remarks)
    with left.counted():
        cursor.execute(f"FETCH 0 FROM {_CURSOR}")
    return QueryRows(_columns(cursor), _fetched(cursor, left), remarks)


def _fetched(cursor: "psycopg.Cursor[Any]", left: "_TimeLeft") -> Iterator[tuple[Any, ...]]:
    """A few rows first, then more at a time: a row may be large."""
    at_once = 1
    with closing(cursor):
        while True:
            with left.counted():
                rows = cursor.execute(f"FETCH {at_once} FROM {_CURSOR}").fetchall()
            yield from rows
            if len(rows) < at_once:
                return
            at_once = min(2 * at_once, _MOST_AT_ONCE)


class _TimeLeft:
    """What is left of the seconds of a question; only the time that the server works counts."""

    def __init__(self, driver: "psycopg.Connection[Any]", seconds: float | None) -> None:
        self._driver, self._seconds, self._left = driver, seconds, seconds

    @contextmanager
    def counted(self) -> Iterator[None]:
        began = time.monotonic()
        if self._left is not None:
            self._driver.execute(f"SET LOCAL statement_timeout = {max(1, int(1e3 * self._left))}")
        try:
            yield
        except psycopg.errors.QueryCanceled as error:
            if self._seconds is None:
                raise rejected_statement(error) from error
            raise out_of_time(self._seconds) from error
        except KeyError as error:
            raise InputError(
                f"every parameter must have a value, but got none for :{error.args[0]}"
            ) from error
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error as error:
            raise rejected_statement(error) from error
        if self._left is not None:
            self._left = max(0.0, self._left - (time.monotonic() - began))


def _columns(cursor: "psycopg.Cursor[Any]") -> tuple[str, ...]:
    return tuple(column.name for column in cursor.description or ())


def _placeholder(token: re.Match[str]) -> str:
    """A token of a statement as psycopg wants it: parameters by its names, percents doubled."""
    name = token["name"]
    return f"%({name})s" if name else token[0].replace("%", "%%")

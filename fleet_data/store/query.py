"""Questions of the user's own, in SQL, that can change nothing."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import Any

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import QueryResult
from hdap.fleet_data.store.engine import (
    BUSY_SECONDS,
    driver_connection,
    rejected_statement,
    sqlite_uri,
    translate,
)
from hdap.fleet_data.store.part import StorePart

_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_TOKENS = re.compile(
    r"'(?:[^']|'')*'"  # a text, where a colon is a colon
    r'|"(?:[^"]|"")*"'
    r"|--[^\n]*|/\*.*?\*/"
    r"|::|:(?P<name>[A-Za-z_]\w*)|%",
    re.DOTALL,
)
_PRAGMAS = {"table_info", "table_list", "table_xinfo", "index_list", "index_info"}


class QueryStore(StorePart):
    """Read-only SQL."""

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        limit: int | None = None,
    ) -> QueryResult:
        """Rows of one statement, at most `limit`; `truncated` tells whether there were more.

        A mapping fills named parameters, `:name` on either database; a sequence fills `?` on SQLite
        and `%s` on PostgreSQL. Raises InputError, in the database's
        own words, for a statement that is wrong or would write.
        """
        if not sql.strip().strip(";").strip():
            raise InputError(
                'the query must be SQL, got nothing: try "SELECT * FROM trial_summary"'
            )
        if self._database.is_sqlite:
            return self._query_sqlite(sql, parameters, limit)
        return self._query_server(sql, parameters, limit)

    def _query_sqlite(self, sql: str, parameters: Any, limit: int | None) -> QueryResult:
        uri = sqlite_uri(str(self._database.url.database), "ro")
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA query_only=ON")
                connection.set_authorizer(_authorize)
                cursor = connection.execute(sql, parameters)
                return _result(cursor.description, cursor, limit)
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "unable to open" in str(error):
                raise translate(error, self._database.url) from error
            raise rejected_statement(error) from error
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise rejected_statement(error) from error

    def _query_server(self, sql: str, parameters: Any, limit: int | None) -> QueryResult:
        import psycopg

        if isinstance(parameters, Mapping) and parameters:
            sql = _TOKENS.sub(_placeholder, sql)
        with self._database.reading() as connection:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            # from the first snapshot on, a transaction cannot be made writable again
            connection.exec_driver_sql("SELECT 1")
            with driver_connection(connection).cursor() as cursor:
                try:
                    # `stream` takes exactly one statement and keeps memory small
                    rows = cursor.stream(sql, parameters or None)
                    with closing(rows):
                        first = list(islice(rows, 1))
                        if first:
                            return _result(cursor.description, chain(first, rows), limit)
                    # a stream of nothing does not tell its columns
                    cursor.execute(sql, parameters or None, prepare=True)
                    return _result(cursor.description, (), limit)
                except KeyError as error:
                    raise InputError(
                        f"every parameter must have a value, but got none for :{error.args[0]}"
                    ) from error
                except (psycopg.OperationalError, psycopg.InterfaceError):
                    raise
                except psycopg.Error as error:
                    raise rejected_statement(error) from error


def _placeholder(token: re.Match[str]) -> str:
    """A token of a statement as psycopg wants it: parameters by its names, percents doubled."""
    name = token["name"]
    return f"%({name})s" if name else token[0].replace("%", "%%")


def _authorize(action: int, first: str | None, *_: str | None) -> int:
    if action in _READING or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _result(description: Any, rows: Any, limit: int | None) -> QueryResult:
    columns = tuple(column[0] for column in description or ())
    if limit is None:
        return QueryResult(columns, tuple(tuple(row) for row in rows), False)
    found = tuple(tuple(row) for row in islice(rows, limit + 1))
    return QueryResult(columns, found[:limit], len(found) > limit)

"""Questions in SQL, that can change nothing: hdap's own, and those of a person."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import QueryLimits, QueryResult, QueryRows
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.sqlite_question import row_bytes, sqlite_rows

MOST_HELD = 256 * 2**20
"""Bytes of an answer that is held as a whole: far more than a person reads."""
NO_LIMITS = QueryLimits()


class QueryStore(StorePart):
    """Read-only SQL."""

    def query(self, sql: str) -> QueryResult:
        """All rows of one of hdap's own statements, which read. For those of others: `ask`."""
        with self._database.reading() as connection:
            plain = connection.execution_options(no_parameters=True)
            found = plain.exec_driver_sql(sql)
            return QueryResult(tuple(found.keys()), tuple(tuple(row) for row in found), False)

    def ask(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        limits: QueryLimits = NO_LIMITS,
    ) -> QueryResult:
        """Rows of one statement of a person's, at most `limits.rows`; see `asking`.

        `truncated` tells whether there were more. Raises InputError as `asking`, and where the
        answer is too large to be held.
        """
        with self.asking(sql, parameters, limits) as found:
            rows, held = [], 0
            for row in islice(found.rows, None if limits.rows is None else limits.rows + 1):
                rows.append(row)
                held += row_bytes(row)
                if held > MOST_HELD:
                    raise InputError(
                        f"an answer must fit into {MOST_HELD >> 20} MiB, but its first "
                        f"{len(rows):,} rows do not: ask for fewer columns or rows, or stream "
                        "them with --csv"
                    )
        truncated = limits.rows is not None and len(rows) > limits.rows
        return QueryResult(found.columns, tuple(rows[: limits.rows]), truncated, found.remarks)

    @contextmanager
    def asking(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        limits: QueryLimits = NO_LIMITS,
    ) -> Iterator[QueryRows]:
        """The rows of one statement of a person's, as they are read; nothing else can happen.

        A mapping fills named parameters, `:name` on either database; a sequence fills `?` on SQLite
        and `%s` on PostgreSQL. Raises InputError for what is no single reading statement (nothing
        of it ran), in the database's own words for one that is wrong, and where `limits` are
        passed, then too while rows are read.
        """
        if not sql.strip().strip(";").strip():
            raise InputError(
                'the query must be SQL, got nothing: try "SELECT * FROM trial_summary"'
            )
        if self._database.is_sqlite:
            with sqlite_rows(self._database, sql, parameters, limits) as found:
                yield found
            return
        # sqlglot and psycopg: only a question of a person's to PostgreSQL needs them
        from hdap.fleet_data.store.postgres_question import postgres_rows

        with postgres_rows(self._database, sql, parameters, limits) as found:
            yield found

"""What the parts of the store share: records put into tables and read out of them."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from hdap.fleet_data.errors import NotFoundError
from hdap.fleet_data.store.engine import Database
from hdap.fleet_data.store.locks import lock_records
from hdap.fleet_data.store.mapper import to_record, to_row

R = TypeVar("R")


class StorePart:
    """One family of records of the store; `Store` is the sum of its parts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _select(self, kind: type[R], table: sa.Table, *where: Any) -> tuple[R, ...]:
        """Records of one table for which all of `where` holds, by primary key."""
        with self._database.reading() as connection:
            return select(connection, kind, table, *where)


def insert(connection: sa.Connection, table: sa.Table, records: Iterable[Any], **more: Any) -> None:
    """Add records, with the columns `more` in each."""
    rows = [to_row(table, record, **more) for record in records]
    if rows:
        connection.execute(sa.insert(table), rows)


def insert_one(connection: sa.Connection, table: sa.Table, record: Any, **more: Any) -> int:
    """Add a record; the number it got."""
    added = connection.execute(sa.insert(table).values(to_row(table, record, **more)))
    (key,) = added.inserted_primary_key or (0,)
    return int(key)


def replace(
    connection: sa.Connection, table: sa.Table, records: Iterable[Any], by: Sequence[str]
) -> None:
    """Add records, each in the place of the one that agrees with it in the columns `by`."""
    lock_records(connection, table)
    for row in (to_row(table, record) for record in records):
        same = (table.c[column] == row[column] for column in by)
        connection.execute(sa.delete(table).where(*same))
        connection.execute(sa.insert(table).values(row))


def select(connection: sa.Connection, kind: type[R], table: sa.Table, *where: Any) -> tuple[R, ...]:
    """The records for which all of `where` holds, by primary key."""
    wanted = sa.select(table).where(*where).order_by(*table.primary_key.columns)
    return tuple(to_record(kind, table, row) for row in connection.execute(wanted))


def newest(
    connection: sa.Connection, table: sa.Table, *where: "sa.ColumnElement[bool]"
) -> "sa.Row[Any] | None":
    """The row with the largest primary key among those for which all of `where` holds."""
    (key,) = table.primary_key.columns
    return connection.execute(sa.select(table).where(*where).order_by(key.desc()).limit(1)).first()


def not_found(kind: str, wanted: object, names: Sequence[object], remedy: str) -> NotFoundError:
    """The error for a name that is not stored, or for anything (None), with the names that are."""
    if wanted is None and not names:
        return NotFoundError(f"a {kind} must be stored, but there is none: {remedy}")
    stored = ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
    has = f"stored are: {stored}" if names else "none is stored"
    return NotFoundError(f"no {kind} {wanted!r} in the store ({has}): {remedy}")


def names_of(connection: sa.Connection, column: "sa.Column[Any]") -> list[Any]:
    """All distinct values of a column, sorted."""
    return list(connection.scalars(sa.select(column).distinct().order_by(column)))

"""What the parts of the store share."""

import sqlalchemy as sa

from hdap.fleet_data.errors import NotFoundError
from hdap.fleet_data.store.engine import Database


class StorePart:
    """One family of records of the store; `Store` is the sum of its parts."""

    def __init__(self, database: Database) -> None:
        self._database = database


def not_found(kind: str, wanted: object, names: list[str], remedy: str) -> NotFoundError:
    """The error for a name that is not stored, with the names that are."""
    stored = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    has = f"stored are: {stored}" if names else "none is stored"
    return NotFoundError(f"no {kind} {wanted!r} in the store ({has}): {remedy}")


def names_of(connection: sa.Connection, column: "sa.Column[str]") -> list[str]:
    """All distinct values of a text column, sorted."""
    return list(connection.scalars(sa.select(column).distinct().order_by(column)))

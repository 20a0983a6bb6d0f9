"""Who waits for whom on PostgreSQL, where writers do not wait by themselves as on SQLite."""

import sqlalchemy as sa

_RECORDS = 0x68646172  # "hdar"


def lock_measurements(connection: sa.Connection) -> None:
    """One writer of rows at a time; readers go on. Numbers of rows grow in the order of commits.

    Taken before anything else is written, so that no two writers wait for each other.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE all_measurements IN SHARE ROW EXCLUSIVE MODE")


def lock_records(connection: sa.Connection, table: sa.Table) -> None:
    """One at a time of those that take records out of a table to put others in their place.

    What two put there at once would else be there twice, or be refused.
    """
    if connection.dialect.name == "postgresql":
        key = sa.func.hashtext(table.name)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_RECORDS, key)))

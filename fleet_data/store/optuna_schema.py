"""Where Optuna's tables may live, so that they never meet hdap's, whose names they share."""

import sqlalchemy as sa

from hdap.fleet_data.errors import StoreError
from hdap.fleet_data.store.engine import Database, parse_url, shown

OURS = "measurements"
"""A table that hdap's databases have and Optuna's do not."""

_ADVISORY_LOCK = 0x6F707475  # "optu"


def optuna_home(text: str) -> str:
    """The URL, password included, that Optuna's storage is to open for a database.

    In a PostgreSQL database of hdap's own, Optuna's tables get a schema beside hdap's, which is
    made where it is missing. Raises StoreError for a database that is not reachable or supported,
    and for an SQLite file of hdap's own.
    """
    url = parse_url(text)
    if url.drivername == "sqlite":
        _refuse_ours(url)
        return url.render_as_string(hide_password=False)
    database = Database(url)
    try:
        with database.writing() as connection:
            home = _schema(connection)
            if home:
                # IF NOT EXISTS does not settle races between two that make it just now
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
                quoted = connection.dialect.identifier_preparer.quote(home)
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
    finally:
        database.close()
    if home:
        url = url.update_query_dict({"options": f"-csearch_path={home}"})
    return url.render_as_string(hide_password=False)


def _refuse_ours(url: sa.URL) -> None:
    engine = sa.create_engine(url)
    try:
        if sa.inspect(engine).has_table(OURS):
            raise StoreError(
                f"Optuna's storage must be another file than hdap's database {shown(url)}: their "
                f"tables share names; leave --storage out, or name a file that is not there yet"
            )
    finally:
        engine.dispose()


def _schema(connection: sa.Connection) -> str | None:
    """The schema beside hdap's own tables; None where there are none."""
    if not sa.inspect(connection).has_table(OURS):
        return None
    own = str(connection.scalar(sa.select(sa.func.current_schema())))
    return "optuna" if own == "public" else f"{own}_optuna"

"""Bringing a database to this version's schema, safely with several openers at once.

A fresh database is made from `schema.py` at once and marked with the newest revision; only a
database of an earlier release runs the revisions that it lacks.
"""

from pathlib import Path

import sqlalchemy as sa

from hdap.fleet_data.errors import StoreError
from hdap.fleet_data.store.engine import Database, shown
from hdap.fleet_data.store.schema import metadata
from hdap.fleet_data.store.views import create_views, drop_views

HEAD = "0010"
"""The newest revision, here so that opening a current database need not import alembic."""
_ADVISORY_LOCK = 0x68646170  # "hdap"
_FOLDER = Path(__file__).parent / "migrations"


class OutdatedError(StoreError):
    """An earlier release's database that was opened for reading alone."""


def migrate(database: Database, *, create: bool) -> None:
    """Create or upgrade to `HEAD` in one transaction, or do nothing when it is there already.

    Raises StoreError for a database of an unknown version, for one that is not hdap's, and for an
    empty one when `create` is false or the database is read-only; OutdatedError for one that has to
    be upgraded and is read-only.
    """
    with database.reading() as connection:
        if not _is_behind(connection, database, create):
            return
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        # another opener may have done it while this one waited for the lock
        if _is_behind(connection, database, create):
            _bring_to_head(connection)


def _is_behind(connection: sa.Connection, database: Database, create: bool) -> bool:
    version = _version(connection)
    place = shown(database.url)
    if version == HEAD:
        return False
    if version is None and (database.read_only or not create):
        raise StoreError(f"{place} holds no hdap store: run `hdap ingest` first")
    if version is None and sa.inspect(connection).get_table_names():
        raise StoreError(f"{place} holds another program's tables: choose another database")
    if version is not None and version not in _known():
        raise StoreError(
            f"{place} has schema version {version}, this hdap knows up to {HEAD}: "
            "upgrade hdap (pip install -U hdap), or name another database and ingest again"
        )
    if database.read_only:
        raise OutdatedError(
            f"{place} has schema version {version}, this hdap needs {HEAD}, and it is read-only: "
            "copy it to where it can be written, it is upgraded there when it is first opened"
        )
    return True


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return version


def _known() -> set[str]:
    return {path.stem[1:5] for path in (_FOLDER / "versions").glob("r[0-9]*.py")}


def _bring_to_head(connection: sa.Connection) -> None:
    # alembic takes a third of a second to import, and a current database does not need it
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if _version(connection) is None:
        metadata.create_all(connection, checkfirst=False)
        create_views(connection)
        command.stamp(config, "head")
    else:
        # a view is of its version: no revision has to know what those before it were
        drop_views(connection)
        command.upgrade(config, "head")
        create_views(connection)

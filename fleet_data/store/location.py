"""What `--db` may say: an SQLAlchemy URL or the plain path of an SQLite file."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from hdap.fleet_data.errors import StoreError

DEFAULT_URL = "sqlite:///hdap.db"
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")
_REMEDY = "give a path, sqlite:///FILE or postgresql://USER@HOST/DATABASE"


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
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def _sqlite(path: str) -> sa.URL:
    if path in ("", ":memory:"):
        raise StoreError("the SQLite store must be a file, got a database in memory: name a file")
    return sa.URL.create("sqlite", database=str(Path(path).expanduser()))

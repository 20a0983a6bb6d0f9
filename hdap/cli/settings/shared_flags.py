"""Flags that most commands take, in one place so that they read alike everywhere."""

from dataclasses import dataclass
from typing import Annotated

from hdap.requests.setting import Setting

DEFAULT_DB = "sqlite:///hdap.db"
Study = Annotated[str | None, Setting("Which study; the latest if left out.")]


@dataclass(frozen=True, kw_only=True)
class WithDatabase:
    """A command that opens the database."""

    db: Annotated[
        str,
        Setting(
            "Database: a SQLite file, or an SQLAlchemy URL such as postgresql://user@host/name.",
            variable="HDAP_DB",
            reach="database",
        ),
    ] = DEFAULT_DB


@dataclass(frozen=True, kw_only=True)
class WithJson:
    """A command whose answer a machine can read."""

    as_json: Annotated[bool, Setting("Print one JSON document for machines.", flag="json")] = False


@dataclass(frozen=True, kw_only=True)
class WithBoth(WithDatabase, WithJson):
    """A command that asks the database."""

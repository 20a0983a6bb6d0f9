"""Errors of the databases as one line each."""

import sqlite3

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from hdap.fleet_data.errors import HdapError, InputError, StoreError
from hdap.fleet_data.store.location import shown

_KNOWN = (
    ("database is locked", "is locked by another process: wait for it to end, then try again"),
    ("database schema is locked", "is locked by another process: wait, then try again"),
    ("lock timeout", "is locked by another process: wait for it to end, then try again"),
    ("disk is full", "cannot grow, the disk is full: free some space"),
    ("no space left", "cannot grow, the disk is full: free some space"),
    ("disk i/o error", "cannot be read or written (disk I/O error): check the disk"),
    ("file is not a database", "is a file but not a database: choose another path"),
    ("disk image is malformed", "is damaged: restore it from a copy"),
    ("unable to open database", "cannot be opened: check that the path and its rights are right"),
    ("readonly database", "is read-only: check the rights of the file and its folder"),
    ("could not translate host name", "has a host name that is not known: check the URL"),
    ("failed to resolve host", "has a host name that is not known: check the URL"),
    ("connection refused", "is not reachable: check that the server runs and the URL is right"),
    ("timeout expired", "is not reachable: check that the server runs and the URL is right"),
    ("no such file or directory", "is not reachable: check that the server runs"),
    ("password authentication failed", "refuses the user or the password: check the URL"),
    ("no password supplied", "wants a password: put it into the URL or into ~/.pgpass"),
)


def translate(error: Exception, url: sa.URL) -> HdapError:
    """What a database said, as an error of hdap that never shows a password."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = one_line(original)
    if url.password:
        said = said.replace(str(url.password), "***")
    for sign, meaning in _KNOWN:
        if sign in said.lower():
            return StoreError(f"the database {shown(url)} {meaning}")
    if "does not exist" in said and "database" in said:
        return StoreError(f"the database {shown(url)} does not exist: create it on the server")
    return StoreError(f"the database {shown(url)} failed: {said}")


def rejected_statement(error: Exception) -> InputError:
    """A statement of the user's that the database refused, in the database's words."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return InputError(f"the query must be valid read-only SQL: {one_line(original)}")


def one_line(error: BaseException) -> str:
    """The message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def is_busy(error: BaseException) -> bool:
    """Whether SQLite gave up waiting for a lock."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)

"""The store: SQLite or PostgreSQL behind one class, records in and out.

`Store` is imported on first use: it brings SQLAlchemy and polars with it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdap.fleet_data.store.store import Store

__all__ = ["Store"]


def __getattr__(name: str) -> Any:
    if name == "Store":
        from hdap.fleet_data.store.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

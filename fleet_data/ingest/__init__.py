"""Files of telemetry into the store: read, checked, rejected row by row, and landed whole.

The names are imported on first use: they bring polars and pyarrow with them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdap.fleet_data.ingest.ingest_file import IngestReport, check_source, ingest

__all__ = ["IngestReport", "check_source", "ingest"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hdap.fleet_data.ingest import ingest_file

    return getattr(ingest_file, name)

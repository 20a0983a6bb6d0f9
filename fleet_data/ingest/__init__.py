"""Files of telemetry into the store: read, checked, rejected row by row, and landed whole.

The names are imported on first use: they bring polars and pyarrow with them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdap.fleet_data.ingest.ingest_file import check_source, ingest
    from hdap.fleet_data.ingest.ingest_report import IngestReport
    from hdap.fleet_data.ingest.model_catalog import ModelCatalog

__all__ = ["IngestReport", "ModelCatalog", "check_source", "ingest"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hdap.fleet_data.ingest import ingest_file, ingest_report, model_catalog

    modules = {"ModelCatalog": model_catalog, "IngestReport": ingest_report}
    return getattr(modules.get(name, ingest_file), name)

"""Which device runs which trial of a study, as columns."""

from dataclasses import fields
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.records import AssignmentBatch
from hdap.fleet_data.store.bulk import bulk_insert
from hdap.fleet_data.store.locks import lock_records
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import assignments

_COLUMNS = {"device_ids": "device_id"}
_TYPES: dict[str, Any] = {
    "device_ids": object,
    "assigned_at": "datetime64[us]",
    **dict.fromkeys(("number", "number_before", "cluster"), np.int64),
    **dict.fromkeys(("factor", "factor_sd", "latency_ms", "probability_in_time"), np.float64),
    "in_time": np.bool_,
}


class AssignmentStore(StorePart):
    """Assignments of devices by study."""

    def save_assignments(self, study_id: int, batch: AssignmentBatch) -> None:
        """Store who runs what of a study in one transaction; what was stored of it is replaced."""
        columns = {_COLUMNS.get(f.name, f.name): getattr(batch, f.name) for f in fields(batch)}
        columns["device_id"] = pl.Series(batch.device_ids.tolist(), dtype=pl.String)
        frame = pl.DataFrame(columns).with_columns(study_id=pl.lit(study_id, dtype=pl.Int64))
        with self._database.writing() as connection:
            mine = assignments.c.study_id == study_id
            lock_records(connection, assignments)
            connection.execute(sa.delete(assignments).where(mine))
            bulk_insert(connection, assignments, frame)

    def assignments(self, study_id: int) -> AssignmentBatch:
        """Who runs what of a study, by name of device; nobody where nothing was assigned."""
        names = [f.name for f in fields(AssignmentBatch)]
        wanted = sa.select(*(assignments.c[_COLUMNS.get(name, name)] for name in names))
        mine = wanted.where(assignments.c.study_id == study_id)
        with self._database.reading() as connection:
            rows = connection.execute(mine.order_by(assignments.c.device_id)).all()
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        columns[-1] = tuple(time.replace(tzinfo=None) for time in columns[-1])
        return AssignmentBatch(
            *(np.array(c, dtype=_TYPES[n]) for n, c in zip(names, columns, strict=True))
        )

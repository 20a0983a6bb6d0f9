"""Fitted surrogates."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from hdap.fleet_data.records import SurrogateRecord
from hdap.fleet_data.store.codec import number_or_nan, number_or_null
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import surrogates

_FIGURES = ("mape", "kendall_tau", "coverage", "dense_ms")
_PLAIN = (
    "clustering_id",
    "cluster",
    "model",
    "architecture_digest",
    "kind",
    "created_at",
    "measurement_mark",
    "configurations",
    "warning",
    "payload",
)


class SurrogateStore(StorePart):
    """Surrogates by model, clustering and kind."""

    def save_surrogates(self, records: Sequence[SurrogateRecord]) -> None:
        """Add surrogates in one transaction; each replaces the one it has the place of."""
        with self._database.writing() as connection:
            for record in records:
                connection.execute(
                    sa.delete(surrogates).where(
                        surrogates.c.clustering_id == record.clustering_id,
                        surrogates.c.model == record.model,
                        surrogates.c.kind == record.kind,
                        surrogates.c.cluster == record.cluster,
                    )
                )
                connection.execute(sa.insert(surrogates).values(_encode(record)))

    def surrogates(self, model: str, clustering_id: int, kind: str) -> tuple[SurrogateRecord, ...]:
        """The surrogates of that place, by cluster; empty when none was fitted."""
        wanted = (
            sa.select(surrogates)
            .where(
                surrogates.c.model == model,
                surrogates.c.clustering_id == clustering_id,
                surrogates.c.kind == kind,
            )
            .order_by(surrogates.c.cluster)
        )
        with self._database.reading() as connection:
            return tuple(_decode(row) for row in connection.execute(wanted))


def _encode(record: SurrogateRecord) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in _PLAIN}
    figures = {name: number_or_null(getattr(record, name)) for name in _FIGURES}
    return plain | figures | {"measured_rows": record.rows}


def _decode(row: Any) -> SurrogateRecord:
    plain = {name: getattr(row, name) for name in _PLAIN}
    figures: dict[str, Any] = {name: number_or_nan(getattr(row, name)) for name in _FIGURES}
    return SurrogateRecord(**plain, **figures, rows=row.measured_rows, id=row.surrogate_id)

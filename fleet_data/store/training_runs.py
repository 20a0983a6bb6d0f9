"""Training runs epoch by epoch, and compressions step by step."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from hdap.fleet_data.records import CompressionStepRecord, EpochRecord
from hdap.fleet_data.store.codec import number_or_nan, number_or_null
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import compression_steps, epochs


class TrainingStore(StorePart):
    """Runs are known by name; of an epoch or a step the newest record counts."""

    def save_epochs(self, records: Sequence[EpochRecord]) -> None:
        """Store epochs in one transaction."""
        with self._database.writing() as connection:
            for record in records:
                place = (epochs.c.run == record.run, epochs.c.epoch == record.epoch)
                connection.execute(sa.delete(epochs).where(*place))
                connection.execute(sa.insert(epochs).values(_encode(record)))

    def epochs(self, run: str | None = None) -> tuple[EpochRecord, ...]:
        """Epochs of a run, or of all, by run and epoch; empty when there are none."""
        wanted = sa.select(epochs).order_by(epochs.c.run, epochs.c.epoch)
        if run is not None:
            wanted = wanted.where(epochs.c.run == run)
        with self._database.reading() as connection:
            return tuple(EpochRecord(**_decode(row)) for row in connection.execute(wanted))

    def training_runs(self) -> tuple[str, ...]:
        """Names of all runs and compressions that are stored, ascending."""
        wanted = sa.union(sa.select(epochs.c.run), sa.select(compression_steps.c.run))
        with self._database.reading() as connection:
            return tuple(sorted(row[0] for row in connection.execute(wanted)))

    def save_compression_step(self, record: CompressionStepRecord) -> None:
        """Store one step."""
        table = compression_steps
        with self._database.writing() as connection:
            place = (table.c.run == record.run, table.c.step == record.step)
            connection.execute(sa.delete(table).where(*place))
            connection.execute(sa.insert(table).values(_encode(record)))

    def compression_steps(self, run: str) -> tuple[CompressionStepRecord, ...]:
        """Steps of a compression in order; empty when there are none."""
        table = compression_steps
        wanted = sa.select(table).where(table.c.run == run).order_by(table.c.step)
        with self._database.reading() as connection:
            return tuple(
                CompressionStepRecord(**_decode(row)) for row in connection.execute(wanted)
            )


def _encode(record: EpochRecord | CompressionStepRecord) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {k: number_or_null(v) if isinstance(v, float) else v for k, v in values.items()}


def _decode(row: Any) -> dict[str, Any]:
    values = dict(row._mapping)
    return {k: number_or_nan(v) if v is None else v for k, v in values.items()}

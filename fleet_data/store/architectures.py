"""Models and the importance of their channels."""

from datetime import UTC, datetime

import sqlalchemy as sa

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.records import ImportanceRecord, ModelRecord
from hdap.fleet_data.store.locks import lock_measurements, lock_records
from hdap.fleet_data.store.mapper import to_record
from hdap.fleet_data.store.part import StorePart, insert, names_of, newest, not_found
from hdap.fleet_data.store.schema import all_measurements, configurations, importances, models
from hdap.fleet_data.store.unit_store import judge_units


class ArchitectureStore(StorePart):
    """Architectures and importances."""

    def save_architecture(self, architecture: Architecture) -> None:
        """Add the model or replace its architecture; its rows are judged by it."""
        with self._database.writing() as connection:
            lock_measurements(connection)
            put_architecture(connection, architecture)
            newest = sa.select(sa.func.coalesce(sa.func.max(all_measurements.c.measurement_id), 0))
            # what the network can take at all is known only now
            judge_units(connection, None, int(connection.scalar(newest) or 0))

    def architecture(self, model: str) -> Architecture:
        """The stored architecture. Raises NotFoundError naming the stored ones."""
        with self._database.reading() as connection:
            found = find_architecture(connection, model)
            if found is None:
                names = names_of(connection, models.c.model)
                raise not_found("architecture of model", model, names, f"`hdap model {model}`")
        return found

    def models(self) -> tuple[ModelRecord, ...]:
        """All models whose architecture is stored, by name."""
        return self._select(ModelRecord, models)

    def save_importance(self, record: ImportanceRecord) -> None:
        """Add curves; those of the same model and source are replaced."""
        mine = importances.c.model == record.model, importances.c.source == record.source
        with self._database.writing() as connection:
            lock_records(connection, importances)
            connection.execute(sa.delete(importances).where(*mine))
            insert(connection, importances, [record], created_at=datetime.now(UTC))

    def importance(self, model: str, source: str | None = None) -> ImportanceRecord:
        """The newest importance of the model (from `source`). Raises NotFoundError."""
        mine = importances.c.model == model
        wanted = mine if source is None else mine & (importances.c.source == source)
        with self._database.reading() as connection:
            row = newest(connection, importances, wanted)
            if row is None:
                names = list(connection.scalars(sa.select(importances.c.source).where(mine)))
                wanted_name = model if source is None else f"{model} from {source}"
                raise not_found("importance", wanted_name, names, "give weights to compute it")
        return to_record(ImportanceRecord, importances, row)


def find_architecture(connection: sa.Connection, model: str) -> Architecture | None:
    """The stored architecture, if there is one."""
    wanted = sa.select(models.c.architecture).where(models.c.model == model)
    text = connection.scalar(wanted)
    return None if text is None else Architecture.from_json(text)


def put_architecture(connection: sa.Connection, architecture: Architecture) -> None:
    """Add or replace; the dense configuration, if it was measured before, gets its figures.

    Within `lock_measurements`.
    """
    dense = architecture.widths[None, :]
    figures = {
        "flops": int(flops(architecture, dense)[0]),
        "parameters": int(parameters(architecture, dense)[0]),
    }
    values = figures | {
        "digest": architecture.digest,
        "width_groups": len(architecture.groups),
        "architecture": architecture.to_json(),
        "created_at": datetime.now(UTC),
    }
    mine = models.c.model == architecture.model
    if connection.execute(sa.update(models).where(mine).values(values)).rowcount == 0:
        row = {"model": architecture.model} | values
        connection.execute(sa.insert(models).values(row))
    connection.execute(
        sa.update(configurations)
        .where(configurations.c.model == architecture.model, configurations.c.channels == "")
        .values(figures)
    )

"""Models and the importance of their channels."""

from datetime import UTC, datetime

import sqlalchemy as sa

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import ImportanceRecord, ModelRecord
from hdap.fleet_data.store.codec import decode_arrays, encode_arrays
from hdap.fleet_data.store.part import StorePart, names_of, not_found
from hdap.fleet_data.store.schema import configurations, importances, models


class ArchitectureStore(StorePart):
    """Architectures and importances."""

    def save_architecture(self, architecture: Architecture, flops: int, parameters: int) -> None:
        """Add the model or replace its architecture; `flops`, `parameters` are the dense ones."""
        with self._database.writing() as connection:
            put_architecture(connection, architecture, flops, parameters)

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
        columns = [models.c[name] for name in ModelRecord.__dataclass_fields__]
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(*columns).order_by(models.c.model)).all()
        return tuple(ModelRecord(*row) for row in rows)

    def save_importance(self, record: ImportanceRecord) -> None:
        """Add curves; those of the same model and source are replaced."""
        with self._database.writing() as connection:
            connection.execute(
                sa.delete(importances).where(
                    importances.c.model == record.model, importances.c.source == record.source
                )
            )
            connection.execute(
                sa.insert(importances).values(
                    model=record.model,
                    source=record.source,
                    architecture_digest=record.architecture_digest,
                    created_at=datetime.now(UTC),
                    curves=encode_arrays(record.curves),
                )
            )

    def importance(self, model: str, source: str | None = None) -> ImportanceRecord:
        """The newest importance of the model (from `source`). Raises NotFoundError."""
        mine = importances.c.model == model
        wanted = mine if source is None else mine & (importances.c.source == source)
        newest = sa.select(importances).where(wanted).order_by(importances.c.importance_id.desc())
        with self._database.reading() as connection:
            row = connection.execute(newest.limit(1)).one_or_none()
            if row is None:
                names = list(connection.scalars(sa.select(importances.c.source).where(mine)))
                wanted_name = model if source is None else f"{model} from {source}"
                raise not_found("importance", wanted_name, names, "give weights to compute it")
        return ImportanceRecord(
            row.model, row.source, row.architecture_digest, decode_arrays(row.curves)
        )


def find_architecture(connection: sa.Connection, model: str) -> Architecture | None:
    """The stored architecture, if there is one."""
    wanted = sa.select(models.c.architecture).where(models.c.model == model)
    text = connection.scalar(wanted)
    return None if text is None else Architecture.from_json(text)


def put_architecture(
    connection: sa.Connection, architecture: Architecture, flops: int, parameters: int
) -> None:
    """Add or replace; the dense configuration, if it was measured before, gets its figures."""
    values = {
        "digest": architecture.digest,
        "flops": flops,
        "parameters": parameters,
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
        .values(flops=flops, parameters=parameters)
    )

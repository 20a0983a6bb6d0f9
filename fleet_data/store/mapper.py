"""Records as rows and back: one column a field, of the type that the field's annotation names.

NaN exists in no database, so a number that is not finite is NULL there and NaN again when it is
read. Mappings are JSON, arrays one NumPy archive, times UTC.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar, get_type_hints

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator, TypeEngine

R = TypeVar("R")


class Number(TypeDecorator[float]):
    """A float; NULL is NaN, and so is infinity."""

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """A finite number or NULL."""
        return None if value is None or not math.isfinite(value) else float(value)

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        """A number or NaN."""
        return math.nan if value is None else value


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, always UTC; SQLite keeps it as text without a zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """A datetime without a zone counts as UTC."""
        if value is None:
            return None
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        in_utc = aware.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always with zone UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Document(TypeDecorator[Any]):
    """JSON: NumPy scalars and arrays as Python's own, NaN as null."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """JSONB where there is one."""
        server = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.JSONB() if server else sa.JSON())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """What JSON can hold."""
        return _jsonable(value)


class _Texts(Document):
    """A tuple of texts."""

    cache_ok = True

    def process_result_value(self, value: list[str] | None, dialect: Dialect) -> tuple[str, ...]:
        return tuple(value or ())


class _Figures(Document):
    """Numbers by name; null is NaN."""

    cache_ok = True

    def process_result_value(
        self, value: dict[str, float | None] | None, dialect: Dialect
    ) -> dict[str, float]:
        return {name: math.nan if v is None else v for name, v in (value or {}).items()}


class _Arrays(TypeDecorator[tuple[NDArray[Any], ...]]):
    """Arrays as one NumPy archive; nothing in it can execute code."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: tuple[NDArray[Any], ...] | None, dialect: Dialect) -> bytes:
        file = io.BytesIO()
        np.savez_compressed(file, *(value or ()))
        return file.getvalue()

    def process_result_value(
        self, value: bytes | None, dialect: Dialect
    ) -> tuple[NDArray[Any], ...]:
        with np.load(io.BytesIO(value or b""), allow_pickle=False) as archive:
            return tuple(archive[f"arr_{i}"] for i in range(len(archive.files)))


_TYPES: dict[Any, type[TypeEngine[Any]]] = {
    str: sa.Text,
    int: sa.BigInteger,
    float: Number,
    bool: sa.Boolean,
    bytes: sa.LargeBinary,
    datetime: UtcDateTime,
    tuple[str, ...]: _Texts,
    tuple[NDArray[np.float64], ...]: _Arrays,
    Mapping[str, float]: _Figures,
    Mapping[str, Any]: Document,
}


def record_table(
    table: str,
    metadata: sa.MetaData,
    record: type[Any],
    *items: SchemaItem,
    keys: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
    elsewhere: Sequence[str] = (),
) -> sa.Table:
    """The `table` of a kind of `record`: a column for each field, those of `keys` its primary key.

    A field's column has its name or the one in `renamed`. `items` are constraints, columns beside
    the record, and columns that take the place of a field's own (keys, references). The fields
    `elsewhere` are kept in other tables or follow from them. A number may be NULL, nothing else.
    """
    hints = get_type_hints(record)
    given = {item.name: item for item in items if isinstance(item, sa.Column)}
    columns = {name: c for name, c in given.items() if c.primary_key or c.foreign_keys}
    for field in (f.name for f in fields(record) if f.name not in elsewhere):
        name = (renamed or {}).get(field, field)
        if name not in given:
            kind = _TYPES[hints[field]]
            may_miss = kind is Number and field not in keys
            given[name] = sa.Column(name, kind, primary_key=field in keys, nullable=may_miss)
        columns[name] = given[name]
        columns[name].info["field"] = field
    constraints = [item for item in items if not isinstance(item, sa.Column)]
    return sa.Table(table, metadata, *(columns | given).values(), *constraints)


def to_row(table: sa.Table, record: Any, **more: Any) -> dict[str, Any]:
    """What to insert for a record, whose `id` the database gives, and for columns beside it."""
    named = ((column.name, column.info.get("field", "id")) for column in table.columns)
    return {name: getattr(record, field) for name, field in named if field != "id"} | more


def to_record(kind: type[R], table: sa.Table, row: sa.Row[Any], **more: Any) -> R:
    """The record of a row; `more` holds the fields that are kept elsewhere."""
    values = row._mapping
    named = {c.info["field"]: values[c.name] for c in table.columns if "field" in c.info}
    return kind(**named, **more)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

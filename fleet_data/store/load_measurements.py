"""From rows of the database to columns: past SQLAlchemy, a block at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from hdap.fleet_data.records import Devices, Floats, Ints, Measurements, TextColumn
from hdap.fleet_data.software import same_runtimes
from hdap.fleet_data.store.engine import driver_connection
from hdap.fleet_data.store.schema import configurations, runtimes, software
from hdap.fleet_data.telemetry import BESIDE_RUNTIME, CONTEXT

_BLOCK = 250_000


@dataclass(frozen=True)
class _Column:
    name: str
    sql: str
    kind: type[np.int64] | type[np.float64]


_FIXED = (
    _Column("device", "m.device_key", np.int64),
    _Column("configuration", "m.configuration_key", np.int64),
    _Column("runtime", "coalesce(m.runtime_key, 0)", np.int64),
    _Column("batch_size", "coalesce(m.batch_size, 1)", np.int64),
    _Column("runs", "CAST(coalesce(m.runs, 1) AS DOUBLE PRECISION)", np.float64),
    _Column("latency_ms", "m.latency_ms", np.float64),
)


_OPTIONAL = ("latency_p95_ms", "reduced_rows", "reduced_spread", *CONTEXT)


def load_measurements(
    connection: sa.Connection,
    model: str | None,
    where: str,
    of_devices: NDArray[np.object_] | None,
) -> Measurements:
    """Rows for which the SQL `where` holds (of the table `m`), of one model, of some devices."""
    device_keys, fleet = load_devices(connection)
    wanted = sa.select(configurations).order_by(configurations.c.configuration_key)
    if model is not None:
        wanted = wanted.where(configurations.c.model == model)
    found = connection.execute(wanted).all()
    runtime_rows = connection.execute(sa.select(runtimes).order_by(runtimes.c.runtime_key)).all()
    runtime_keys = np.array([0] + [row.runtime_key for row in runtime_rows], dtype=np.int64)
    keys = ", ".join(str(row.configuration_key) for row in found) or "0"
    if of_devices is not None:
        chosen = device_keys[np.isin(fleet.ids.astype(str), of_devices.astype(str))]
        some = ", ".join(map(str, chosen.tolist())) or "0"
        # the index of configurations and devices finds them; `+`: the one of numbers must not
        where = f"+{where} AND m.configuration_key IN ({keys}) AND m.device_key IN ({some})"
    elif model is not None:
        where += f" AND m.configuration_key IN ({keys})"
    columns = _columns(connection, where)
    data = columns.values
    configuration_keys = np.array([row.configuration_key for row in found], dtype=np.int64)
    return Measurements(
        devices=fleet,
        models=tuple(row.model for row in found),
        channels=tuple(row.channels for row in found),
        runtimes=("", *(row.runtime for row in runtime_rows)),
        device=_places(device_keys, data["device"]),
        configuration=_places(configuration_keys, data["configuration"]),
        runtime=_runtimes(runtime_keys, data["runtime"], [row.runtime for row in runtime_rows]),
        batch_size=data["batch_size"],
        runs=data["runs"],
        latency_ms=data["latency_ms"],
        latency_p95_ms=columns.optional("latency_p95_ms"),
        measured_at=columns.optional("measured_at"),
        context={name: data[name] for name in CONTEXT if name in data},
        software=_software(connection, data["software"]) if "software" in data else {},
        reduced_rows=columns.filled("reduced_rows", 1.0),
        reduced_spread=columns.filled("reduced_spread", 0.0),
    )


def _runtimes(keys: Ints, column: Ints, texts: list[str]) -> Ints:
    """As `_places`, with one place for all texts that name one runtime."""
    places = _places(keys, column)
    first = np.array([0, *(1 + at for at in same_runtimes(texts))])
    if (first == np.arange(len(first))).all():
        return places
    if not places.flags.writeable:
        return np.broadcast_to(first[places[:1]], places.shape)
    return first[places]


def _places(keys: Ints, column: Ints) -> Ints:
    """Where each key of a column stands among `keys`, written over the column block by block."""
    if not column.flags.writeable:  # one number for all
        return np.broadcast_to(np.searchsorted(keys, column[:1]), column.shape)
    for start in range(0, len(column), _BLOCK):
        part = slice(start, start + _BLOCK)
        column[part] = np.searchsorted(keys, column[part])
    return column


def _software(connection: sa.Connection, key: Floats) -> dict[str, TextColumn]:
    """The columns that any of the rows fills; `key` (n) is NaN where nothing is known."""
    rows = connection.execute(sa.select(software).order_by(software.c.software_key)).all()
    keys = np.array([0] + [row.software_key for row in rows], dtype=np.int64)
    place = np.searchsorted(keys, np.nan_to_num(key).astype(np.int64))
    found = {}
    for name in BESIDE_RUNTIME:
        said = [row._mapping[name] for row in rows]
        values = ["", *("" if value is None else str(value) for value in said)]
        column = TextColumn.of(values).at(place)
        if column.codes.any():
            found[name] = column
    return found


@dataclass(frozen=True)
class _Loaded:
    rows: int
    values: dict[str, NDArray[Any]]

    def optional(self, name: str) -> Floats:
        """The column, or NaN throughout where no row fills it."""
        return self.values[name] if name in self.values else np.full(self.rows, np.nan)

    def filled(self, name: str, unknown: float) -> Floats | None:
        """The column with a value for what is unknown; None where no row fills it."""
        return np.nan_to_num(self.values[name], nan=unknown) if name in self.values else None


def load_devices(connection: sa.Connection) -> tuple[Ints, Devices]:
    """All devices in the order in which they came, and their keys."""
    # past SQLAlchemy: a million rows as its objects take seconds
    asked = "SELECT device_key, device_id, weight FROM devices ORDER BY device_key"
    rows = driver_connection(connection).execute(asked).fetchall()
    keys, ids, weights = zip(*rows, strict=True) if rows else ((), (), ())
    id_column = np.empty(len(ids), dtype=object)
    id_column[:] = ids
    found = Devices(id_column, np.array(weights, dtype=np.float64))
    return np.array(keys, dtype=np.int64), found


def _columns(connection: sa.Connection, where: str) -> _Loaded:
    optional = {name: f"m.{name}" for name in _OPTIONAL}
    optional |= {"measured_at": "m.measured_at_us", "software": "m.software_key"}
    asked = [f"count({sql})" for sql in optional.values()]
    asked += [f"{end}({c.sql})" for c in _FIXED for end in ("min", "max")]
    counted = f"SELECT count(*), {', '.join(asked)} FROM measurements m WHERE {where}"
    total, *rest = connection.exec_driver_sql(counted).one()
    filled, ends = rest[: len(optional)], rest[len(optional) :]
    # what all rows agree in is one number, whatever their number
    alike = {
        column.name: np.broadcast_to(np.array(low, dtype=column.kind), total)
        for column, low, high in zip(_FIXED, ends[::2], ends[1::2], strict=True)
        if total and low == high and column.name != "latency_ms"
    }
    sqlite = connection.dialect.name == "sqlite"
    # no measured number is -infinity, which SQLite writes so, and so it can stand for NULL
    known = "ifnull({}, -9e999)" if sqlite else "coalesce({}::float8, '-infinity'::float8)"
    columns = tuple(c for c in _FIXED if c.name not in alike) + tuple(
        _Column(name, known.format(sql), np.float64)
        for (name, sql), rows in zip(optional.items(), filled, strict=True)
        if rows
    )
    chosen = ", ".join(column.sql for column in columns)
    statement = f"SELECT {chosen} FROM measurements m WHERE {where} ORDER BY m.measurement_id"
    values: dict[str, NDArray[Any]] = dict(alike)
    values |= {column.name: np.empty(total, dtype=column.kind) for column in columns}
    blocks = _sqlite_blocks if sqlite else _server_blocks
    start = 0
    for block in blocks(driver_connection(connection), statement, columns):
        for column in columns:
            values[column.name][start : start + len(block)] = block[column.name]
        start += len(block)
    for name in optional:
        if name in values:
            there: NDArray[Any] = values[name]
            there[np.isneginf(there)] = np.nan
    if "measured_at" in values:
        values["measured_at"] /= 1e6
    return _Loaded(total, values)


def _sqlite_blocks(
    driver: Any, statement: str, columns: tuple[_Column, ...]
) -> Iterator[NDArray[Any]]:
    kind = np.dtype([(column.name, column.kind) for column in columns])
    rows: Iterable[Any] = driver.execute(statement)
    while True:
        block = np.fromiter(islice(rows, _BLOCK), dtype=kind)
        if not len(block):
            return
        yield block


def _server_blocks(
    driver: Any, statement: str, columns: tuple[_Column, ...]
) -> Iterator[NDArray[Any]]:
    # binary COPY: a row is its number of fields, then (size, 8 bytes big-endian) a field
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for column in columns:
        fields += [(f"{column.name} size", ">i4"), (column.name, np.dtype(column.kind).str)]
    kind = np.dtype(fields).newbyteorder(">")
    parts = bytearray()
    header = 19
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT binary)") as copy,
    ):
        for data in copy:
            parts += data
            if len(parts) - header >= _BLOCK * kind.itemsize:
                rows = (len(parts) - header) // kind.itemsize
                yield np.frombuffer(bytes(parts), dtype=kind, count=rows, offset=header)
                del parts[: header + rows * kind.itemsize]
                header = 0
    rows = (len(parts) - header) // kind.itemsize
    yield np.frombuffer(bytes(parts), dtype=kind, count=rows, offset=header)

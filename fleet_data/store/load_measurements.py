"""From rows of the database to columns: past SQLAlchemy, a block at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from hdap.fleet_data.records import Codes, Devices, Floats, Ints, Measurements, TextColumn
from hdap.fleet_data.row_blocks import taken
from hdap.fleet_data.software import same_runtimes
from hdap.fleet_data.store.engine import driver_connection
from hdap.fleet_data.store.schema import configurations, runtimes, software
from hdap.fleet_data.telemetry import BESIDE_RUNTIME, CONTEXT

_BLOCK = 250_000


Change = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class _Column:
    """How numbers come (`kind`) and how they are `kept`."""

    name: str
    sql: str
    kind: type[np.int64] | type[np.float64]
    kept: type[np.generic]


_FIXED = (
    _Column("device", "m.device_key", np.int64, np.int32),
    _Column("configuration", "m.configuration_key", np.int64, np.int32),
    _Column("runtime", "coalesce(m.runtime_key, 0)", np.int64, np.int32),
    _Column("batch_size", "coalesce(m.batch_size, 1)", np.int64, np.int64),
    _Column("runs", "CAST(coalesce(m.runs, 1) AS DOUBLE PRECISION)", np.float64, np.float32),
    _Column("latency_ms", "m.latency_ms", np.float64, np.float64),
    _Column("software", "coalesce(m.software_key, 0)", np.int64, np.int32),
)
_EXACT = ("reduced_rows", "reduced_spread", "measured_at")
_OPTIONAL = ("latency_p95_ms", "reduced_rows", "reduced_spread", *CONTEXT)
_NULLABLE = {name: f"m.{name}" for name in _OPTIONAL} | {"measured_at": "m.measured_at_us"}
_FIRST_ROWS = 10_000
"""Looked at before all are: what these fill or differ in need not be asked of millions."""


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
        asked = set(of_devices.tolist())
        pairs = zip(device_keys.tolist(), fleet.ids.tolist(), strict=True)
        some = ", ".join(str(key) for key, name in pairs if name in asked) or "0"
        # the index of configurations and devices finds them; `+`: the one of numbers must not
        where = f"+{where} AND m.configuration_key IN ({keys}) AND m.device_key IN ({some})"
    elif model is not None:
        where += f" AND m.configuration_key IN ({keys})"
    configuration_keys = np.array([row.configuration_key for row in found], dtype=np.int64)
    software_rows = connection.execute(sa.select(software).order_by(software.c.software_key)).all()
    software_keys = np.array([0] + [row.software_key for row in software_rows], dtype=np.int64)
    places: dict[str, Change] = {
        "device": _places(device_keys),
        "configuration": _places(configuration_keys),
        "runtime": _runtimes(runtime_keys, [row.runtime for row in runtime_rows]),
        "software": _places(software_keys),
    }
    columns = _columns(connection, where, places)
    data = columns.values
    return Measurements(
        devices=fleet,
        models=tuple(row.model for row in found),
        channels=tuple(row.channels for row in found),
        runtimes=("", *(row.runtime for row in runtime_rows)),
        device=data["device"],
        configuration=data["configuration"],
        runtime=data["runtime"],
        batch_size=data["batch_size"],
        runs=data["runs"],
        latency_ms=data["latency_ms"],
        latency_p95_ms=columns.optional("latency_p95_ms"),
        measured_at=columns.optional("measured_at"),
        context={name: data[name] for name in CONTEXT if name in data},
        software=_software(software_rows, data["software"]),
        reduced_rows=columns.filled("reduced_rows", 1.0),
        reduced_spread=columns.filled("reduced_spread", 0.0),
    )


def _places(keys: Ints) -> Change:
    """Where a key stands among `keys`."""
    return lambda column: np.searchsorted(keys, column)


def _runtimes(keys: Ints, texts: list[str]) -> Change:
    """Places of runtimes: one for all texts that name one runtime."""
    first = np.array([0, *(1 + at for at in same_runtimes(texts))])
    return lambda column: first[np.searchsorted(keys, column)]


def _software(rows: Sequence[Any], place: Codes) -> dict[str, TextColumn]:
    """The columns that any of the rows fills; `place` (n) is 0 where nothing is known."""
    found = {}
    for name in BESIDE_RUNTIME:
        said = [row._mapping[name] for row in rows]
        column = TextColumn.of(["", *("" if value is None else str(value) for value in said)])
        if column.codes.any():
            codes = taken(column.codes.astype(np.int32), place)
            if codes.any():
                found[name] = TextColumn(codes, column.texts)
    return found


@dataclass(frozen=True)
class _Loaded:
    rows: int
    values: dict[str, NDArray[Any]]

    def optional(self, name: str) -> Any:
        """The column, or NaN throughout where no row fills it."""
        return self.values.get(name, np.broadcast_to(np.float64(np.nan), self.rows))

    def filled(self, name: str, unknown: float) -> Floats | None:
        """The column with a value for what is unknown; None where no row fills it."""
        return np.nan_to_num(self.values[name], nan=unknown) if name in self.values else None


def load_devices(connection: sa.Connection) -> tuple[Ints, Devices]:
    """All devices in the order in which they came, and their keys."""
    # past SQLAlchemy: a million rows as its objects take seconds
    driver, order = driver_connection(connection), "FROM devices ORDER BY device_key"
    # apart: names that stay among numbers that go would keep the memory of both
    kind = np.dtype([("key", np.int64), ("weight", np.float64)])
    numbers = np.fromiter(driver.execute(f"SELECT device_key, weight {order}"), dtype=kind)
    ids = np.fromiter((row[0] for row in driver.execute(f"SELECT device_id {order}")), dtype=object)
    return numbers["key"].copy(), Devices(ids, numbers["weight"].copy())


@dataclass(frozen=True)
class _Extent:
    """Number of rows; which of `_NULLABLE` some of them fill; least and greatest of each of
    `_FIXED` (of one that varies: of some rows)."""

    rows: int
    filled: list[bool]
    ends: list[tuple[Any, Any]]

    @classmethod
    def of(cls, connection: sa.Connection, where: str) -> "_Extent":
        """Of the rows for which `where` holds."""
        some = f"(SELECT * FROM measurements m WHERE {where} LIMIT {_FIRST_ROWS}) m"
        first = cls._asked(
            connection, some, cls(0, [False] * len(_NULLABLE), [(0, 0)] * len(_FIXED))
        )
        return cls._asked(connection, f"measurements m WHERE {where}", first)

    @classmethod
    def _asked(cls, connection: sa.Connection, rows: str, known: "_Extent") -> "_Extent":
        """Of `rows`, asking only for what is not `known` to be filled or to vary."""
        filled = [
            "1" if there else f"count({sql})"
            for sql, there in zip(_NULLABLE.values(), known.filled, strict=True)
        ]
        ends = [
            f"{end}({column.sql})" if low == high else str(value)
            for column, (low, high) in zip(_FIXED, known.ends, strict=True)
            for end, value in (("min", low), ("max", high))
        ]
        wanted = f"SELECT count(*), {', '.join((*filled, *ends))} FROM {rows}"
        total, *rest = connection.exec_driver_sql(wanted).one()
        counts, found = rest[: len(filled)], rest[len(filled) :]
        pairs = list(zip(found[::2], found[1::2], strict=True))
        return cls(total, [bool(count) for count in counts], pairs)


def _columns(connection: sa.Connection, where: str, places: dict[str, Change]) -> _Loaded:
    """`places` say of columns of keys where each key stands."""
    extent = _Extent.of(connection, where)
    total = extent.rows
    change = places | {name: _known for name in _NULLABLE} | {"measured_at": _seconds}
    # what all rows agree in is one number, whatever their number
    alike = {
        column.name: np.broadcast_to(_kept(np.array([low]), column, change), total)
        for column, (low, high) in zip(_FIXED, extent.ends, strict=True)
        if total and low == high and column.name != "latency_ms"
    }
    sqlite = connection.dialect.name == "sqlite"
    # no measured number is -infinity, which SQLite writes so, and so it can stand for NULL
    known = "ifnull({}, -9e999)" if sqlite else "coalesce({}::float8, '-infinity'::float8)"
    columns = tuple(c for c in _FIXED if c.name not in alike) + tuple(
        _Column(name, known.format(sql), np.float64, np.float64 if name in _EXACT else np.float32)
        for (name, sql), filled in zip(_NULLABLE.items(), extent.filled, strict=True)
        if filled
    )
    chosen = ", ".join(column.sql for column in columns)
    statement = f"SELECT {chosen} FROM measurements m WHERE {where} ORDER BY m.measurement_id"
    values: dict[str, NDArray[Any]] = dict(alike)
    values |= {column.name: np.empty(total, dtype=column.kept) for column in columns}
    blocks = _sqlite_blocks if sqlite else _server_blocks
    start = 0
    for block in blocks(driver_connection(connection), statement, columns):
        for column in columns:
            part = values[column.name][start : start + len(block)]
            part[:] = _kept(block[column.name], column, change)
        start += len(block)
    return _Loaded(total, values)


def _kept(block: NDArray[Any], column: _Column, change: Mapping[str, Change]) -> NDArray[Any]:
    made = change[column.name](block) if column.name in change else block
    return made.astype(column.kept)


def _known(block: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isneginf(block), np.nan, block)


def _seconds(block: NDArray[Any]) -> NDArray[Any]:
    return _known(block) / 1e6


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

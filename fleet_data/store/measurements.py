"""Devices and measurements as columns, millions of rows at a time."""

from collections import Counter

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from hdap.fleet_data.records import Devices, Measurements, ModelCounts
from hdap.fleet_data.store.load_measurements import load_devices, load_measurements
from hdap.fleet_data.store.part import StorePart, names_of
from hdap.fleet_data.store.schema import (
    all_measurements,
    configurations,
    devices,
    measurements,
    runtimes,
)
from hdap.fleet_data.telemetry import SIMULATED

NO_MARK = 2**62
"""A mark that no row comes after."""

_KEY = configurations.c.configuration_key


class MeasurementStore(StorePart):
    """What the fleet told us, read back."""

    def devices(self) -> Devices:
        """All devices, in the order in which they came."""
        with self._database.reading() as connection:
            return load_devices(connection)[1]

    def device_count(self) -> int:
        """How many devices there are."""
        with self._database.reading() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(devices)) or 0)

    def rows_after(self, mark: int, model: str | None = None) -> int:
        """How many measurements (of one model) came after a mark."""
        m = measurements.c
        wanted = _count_after(mark)
        if model is not None:
            mine = sa.select(_KEY)
            mine = mine.where(configurations.c.model == model)
            # only what came after is looked at, not all rows of the model
            wanted = wanted.where((m.configuration_key + 0).in_(mine))
        with self._database.reading() as connection:
            return int(connection.scalar(wanted) or 0)

    def devices_of(self, model: str) -> NDArray[np.object_]:
        """Names of the devices that measured a model, in the order in which they came."""
        mine = configurations.c.model == model
        keys = sa.select(_KEY).where(mine)
        some = (
            sa.select(measurements.c.device_key)
            .distinct()
            .where(measurements.c.configuration_key.in_(keys))
        )
        wanted = sa.select(devices.c.device_id).where(devices.c.device_key.in_(some))
        with self._database.reading() as connection:
            found = connection.scalars(wanted.order_by(devices.c.device_key)).all()
        return np.array(found, dtype=object)

    def measurement_mark(self) -> int:
        """A number that grows whenever measurements are added, read in another unit, set aside or
        taken back; 0 when there are none."""
        newest = sa.select(sa.func.coalesce(sa.func.max(all_measurements.c.measurement_id), 0))
        with self._database.reading() as connection:
            return int(connection.scalar(newest) or 0)

    def has_simulated(self) -> bool:
        """Whether any measurement came from a simulation: its runtime is `simulated`.

        Reads the short table of runtimes only, however many measurements there are.
        """
        found = sa.select(sa.exists().where(runtimes.c.runtime == SIMULATED))
        with self._database.reading() as connection:
            return bool(connection.scalar(found))

    def measured_models(self) -> tuple[str, ...]:
        """Names of the models that were measured, sorted."""
        with self._database.reading() as connection:
            return tuple(names_of(connection, configurations.c.model))

    def configuration_counts(self) -> dict[str, int]:
        """How many configurations of each model were measured, by name: what `model_counts` says
        of them without a look at each row."""
        there = sa.exists().where(measurements.c.configuration_key == _KEY)
        counted = sa.select(configurations.c.model, sa.func.count()).where(there)
        model = configurations.c.model
        with self._database.reading() as connection:
            found = connection.execute(counted.group_by(model).order_by(model))
            return {name: count for name, count in found}

    def model_counts(self) -> tuple[ModelCounts, ...]:
        """How much was measured of each model, by name."""
        key = (measurements.c.configuration_key, measurements.c.device_key)
        # in the order of an index, which holds all that is asked for
        pairs = sa.select(*key, sa.func.count().label("rows")).group_by(*key).subquery()
        same = pairs.c.configuration_key == _KEY
        dense = sa.case((configurations.c.channels == "", pairs.c.rows), else_=0)
        rows, dense_rows = (sa.cast(sa.func.sum(c), sa.BigInteger) for c in (pairs.c.rows, dense))
        counted = (
            sa.select(
                configurations.c.model,
                rows,
                dense_rows,
                sa.func.count(pairs.c.device_key.distinct()),
                sa.func.count(pairs.c.configuration_key.distinct()),
            )
            .select_from(pairs.join(configurations, same))
            .group_by(configurations.c.model)
            .order_by(configurations.c.model)
        )
        with self._database.reading() as connection:
            return tuple(ModelCounts(*row) for row in connection.execute(counted))

    def pruned_pairs(self, model: str) -> tuple[tuple[str, int], ...]:
        """Which device measured which pruned configuration (its key) of a model, one input at once
        or, where none was, at the batch size with the most pruned rows: what surrogates learn
        from."""
        m = measurements.c
        key = (sa.func.coalesce(m.batch_size, 1), devices.c.device_id)
        of_model = (configurations.c.model == model, configurations.c.channels != "")
        # not joined: without statistics a planner begins with the rows of the dense network
        pruned = m.configuration_key.in_(sa.select(_KEY).where(*of_model))
        wanted = (
            sa.select(*key, m.configuration_key, sa.func.count())
            .select_from(measurements)
            .join(devices, m.device_key == devices.c.device_key)
            .where(pruned)
            .group_by(*key, m.configuration_key)
        )
        with self._database.reading() as connection:
            found = [tuple(row) for row in connection.execute(wanted)]
        rows: Counter[int] = Counter()
        for batch, _, _, count in found:
            rows[batch] += count
        most = 1 if 1 in rows else max(rows, key=lambda batch: rows[batch], default=None)
        return tuple((device, conf) for batch, device, conf, _ in found if batch == most)

    def measurements(
        self,
        model: str | None = None,
        *,
        after_mark: int = 0,
        up_to_mark: int | None = None,
        of_devices: NDArray[np.object_] | None = None,
    ) -> Measurements:
        """All measurements (of one model, `of_devices` of these names) in the order in which they
        came, those after a mark and up to one.

        `devices` are all devices of the fleet, whether they measured this or not.
        """
        numbers = f"m.measurement_id > {int(after_mark)}"
        if up_to_mark is not None:
            numbers += f" AND +m.measurement_id <= {int(up_to_mark)}"
        with self._database.reading() as connection:
            return load_measurements(connection, model, numbers, of_devices)

    def measurements_since(self, mark: int) -> tuple[Measurements, int]:
        """All measurements, and how many of them, the last, came after a mark; none is loaded where
        none did."""
        with self._database.reading() as connection:
            new = int(connection.scalar(_count_after(mark)) or 0)
            wanted = f"m.measurement_id > {0 if new else NO_MARK}"
            return load_measurements(connection, None, wanted, None), new


def _count_after(mark: int) -> sa.Select[int]:
    after = measurements.c.measurement_id > mark
    return sa.select(sa.func.count()).select_from(measurements).where(after)

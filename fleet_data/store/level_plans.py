"""Plans of an elastic network's levels, and which of them serves which cluster and clock."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import sqlalchemy as sa

from hdap.fleet_data.records import Floats, LevelPlanRecord, LevelRecord, OperatingPointRecord
from hdap.fleet_data.store.codec import jsonable, number_or_nan, number_or_null
from hdap.fleet_data.store.part import StorePart, names_of, not_found
from hdap.fleet_data.store.schema import accuracies, level_plans, levels, operating_points

_PLAN = ("model", "architecture_digest", "clustering_id", "target_ms", "simulated", "created_at")


class LevelPlanStore(StorePart):
    """Level plans by number; none is ever replaced."""

    def save_level_plan(self, record: LevelPlanRecord) -> int:
        """Store a plan with its levels and points in one transaction; returns its number."""
        plain = {name: getattr(record, name) for name in _PLAN}
        plain["settings"] = jsonable(record.settings)
        with self._database.writing() as connection:
            made = connection.execute(sa.insert(level_plans).values(plain))
            (number,) = made.inserted_primary_key or (0,)
            for table, parts in ((levels, record.levels), (operating_points, record.points)):
                rows = [{"level_plan_id": number} | _encode(part) for part in parts]
                connection.execute(sa.insert(table), rows)
        return int(number)

    def level_plan(self, model: str, number: int | None = None) -> LevelPlanRecord:
        """The plan of that number, or the model's newest; NotFoundError where there is none."""
        wanted = sa.select(level_plans).where(level_plans.c.model == model)
        if number is not None:
            wanted = wanted.where(level_plans.c.level_plan_id == number)
        with self._database.reading() as connection:
            newest = wanted.order_by(level_plans.c.level_plan_id.desc()).limit(1)
            row = connection.execute(newest).first()
            if row is None:
                known = names_of(connection, level_plans.c.model)
                what = model if number is None else f"{model}, plan {number}"
                raise not_found("level plan of", what, known, "make one: hdap elastic plan")
            mine = row.level_plan_id
            return LevelPlanRecord(
                **{name: getattr(row, name) for name in _PLAN},
                settings=row.settings,
                levels=tuple(
                    LevelRecord(**_decode(part)) for part in _parts(connection, levels, mine)
                ),
                points=tuple(
                    OperatingPointRecord(**_decode(part))
                    for part in _parts(connection, operating_points, mine)
                ),
                id=mine,
            )

    def known_accuracies(self, model: str, channels: Sequence[str]) -> Floats:
        """The newest accuracy of each of n configurations, on whatever it was judged; NaN: none."""
        wanted = (
            sa.select(accuracies.c.channels, accuracies.c.accuracy)
            .where(accuracies.c.model == model, accuracies.c.channels.in_(list(channels)))
            .order_by(accuracies.c.created_at)
        )
        with self._database.reading() as connection:
            known = {row.channels: row.accuracy for row in connection.execute(wanted)}
        return np.array([known.get(text, np.nan) for text in channels])


def _parts(connection: sa.Connection, table: sa.Table, number: int) -> list[Any]:
    keys = [column for column in table.primary_key if column.name != "level_plan_id"]
    wanted = sa.select(table).where(table.c.level_plan_id == number).order_by(*keys)
    return list(connection.execute(wanted))


def _encode(part: LevelRecord | OperatingPointRecord) -> dict[str, Any]:
    return {
        name: number_or_null(value) if isinstance(value, float) else value
        for name, value in asdict(part).items()
    }


def _decode(row: Any) -> dict[str, Any]:
    values = {name: value for name, value in row._mapping.items() if name != "level_plan_id"}
    return {name: number_or_nan(v) if v is None else v for name, v in values.items()}

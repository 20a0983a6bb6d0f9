"""Every kind of record that is a row of a table comes back from both databases as it went in."""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_type_hints

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray

from hdap.fleet_data import records
from hdap.fleet_data.store import Store, schema
from hdap.fleet_data.store.mapper import to_record
from hdap.fleet_data.store.part import insert

NOW = datetime(2026, 11, 21, 1, 2, 3, 456789, tzinfo=UTC)
SAMPLES: dict[Any, Any] = {
    str: "größe 100 % 'sicher'\n",
    int: 1,  # the number of the first of each kind, which the others refer to
    int | None: 1,
    float: 0.1,
    bool: True,
    bytes: bytes(range(256)),
    datetime: NOW,
    tuple[str, ...]: ("offset", ""),
    tuple[NDArray[np.float64], ...]: (np.array([0.5, 1.0]), np.array([])),
    Mapping[str, float]: {"temperature_c": 40.5, "unknown": math.nan},
    Mapping[str, Any]: {"k": 2**100, "fix": {"conv1": [64, None]}, "name": "ü"},
}
# in an order in which what is referred to comes first; what a row holds beside the record
CASES: tuple[tuple[sa.Table, type[Any], dict[str, Any]], ...] = (
    (schema.models, records.ModelRecord, {"architecture": "{}"}),
    (schema.importances, records.ImportanceRecord, {"created_at": NOW}),
    (schema.clusterings, records.ClusteringRecord, {}),
    (schema.clusters, records.ClusterRecord, {"clustering_id": 1}),
    (schema.surrogates, records.SurrogateRecord, {}),
    (schema.held_out, records.HeldOutRecord, {}),
    (schema.learning_curves, records.LearningRecord, {}),
    (schema.studies, records.StudyRecord, {}),
    (schema.verifications, records.VerificationRecord, {}),
    (schema.study_networks, records.NetworkRecord, {}),
    (schema.epochs, records.EpochRecord, {}),
    (schema.compression_steps, records.CompressionStepRecord, {}),
    (schema.level_plans, records.LevelPlanRecord, {}),
    (schema.levels, records.LevelRecord, {"level_plan_id": 1}),
    (schema.operating_points, records.OperatingPointRecord, {"level_plan_id": 1}),
    (schema.portfolios, records.PortfolioRecord, {}),
    (schema.variants, records.VariantRecord, {"portfolio_id": 1}),
    (
        schema.variant_clusters,
        records.VariantClusterRecord,
        {"portfolio_id": 1, "variant": SAMPLES[str]},
    ),
)


def a_record(kind: type[Any], **changes: Any) -> Any:
    """A record whose fields of other tables are empty."""
    hints = get_type_hints(kind)
    return kind(**{f.name: SAMPLES.get(hints[f.name], ()) for f in fields(kind)} | changes)


def floats_of(kind: type[Any], table: sa.Table) -> list[str]:
    """The fields that may be unknown: numbers that are no key."""
    return [
        c.info["field"]
        for c in table.columns
        if get_type_hints(kind).get(c.info.get("field", "")) is float and not c.primary_key
    ]


def test_every_table_of_records_is_among_the_cases() -> None:
    mapped = {
        table.name
        for table in schema.metadata.tables.values()
        if any("field" in column.info for column in table.columns)
    }
    assert {table.name for table, _, _ in CASES} == mapped


@pytest.mark.parametrize("unknown", [math.nan, math.inf, None])
def test_records_come_back(store: Store, unknown: float | None) -> None:
    with store._database.writing() as connection:
        for table, kind, beside in CASES:
            record = a_record(kind)
            if unknown is not None:
                record = replace(record, **dict.fromkeys(floats_of(kind, table), unknown))
            insert(connection, table, [record], **beside)
            row = connection.execute(sa.select(table)).one()
            kept = {column.info.get("field") for column in table.columns}
            more = {f.name: getattr(record, f.name) for f in fields(kind) if f.name not in kept}
            if unknown is not None:
                record = replace(record, **dict.fromkeys(floats_of(kind, table), math.nan))
            found = to_record(kind, table, row, **more)
            np.testing.assert_equal(asdict(found), asdict(record), err_msg=table.name)


def test_what_is_unknown_is_null_in_the_database(store: Store) -> None:
    with store._database.writing() as connection:
        insert(connection, schema.epochs, [a_record(records.EpochRecord, accuracy=math.nan)])
    assert store.query("SELECT accuracy, lr FROM epochs").rows == ((None, 0.1),)


def test_times_of_any_zone_come_back_in_utc(store: Store) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-7)))
    naive = NOW.replace(tzinfo=None)
    for epoch, written in enumerate((elsewhere, naive)):
        store.save_epochs([a_record(records.EpochRecord, epoch=epoch, created_at=written)])
    found = [epoch.created_at for epoch in store.epochs()]
    assert found == [NOW, NOW]
    assert [time.tzinfo for time in found] == [UTC, UTC]


def test_numbers_of_numpy_are_stored_as_json(store: Store) -> None:
    settings = {"eps": np.float64(0.5), "no": np.nan, "all": np.arange(3), 4: (np.bool_(True),)}
    plan = a_record(records.PortfolioRecord, clustering_id=None, settings=settings)
    found = store.portfolio(store.save_portfolio(plan))
    assert found.settings == {"eps": 0.5, "no": None, "all": [0, 1, 2], "4": [True]}

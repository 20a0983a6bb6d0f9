"""Read-only SQL, the views, and the same file in other programs."""

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from duckdb_extensions import import_extension

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord, StudyRecord, TrialBatch
from hdap.fleet_data.store import Store
from hdap.search.analysis.pareto_front import best_first

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SQLITE, POSTGRES = "sqlite", "postgresql"


def fill(store: Store, architecture: Architecture, model: str, **trial: Any) -> int:
    """A study whose trials have the given figures."""
    store.save_architecture(replace(architecture, model=model))
    none = np.array([], dtype=np.int64)
    clustering = ClusteringRecord(
        algorithm="kmeans",
        parameters={},
        seed=0,
        created_at=NOW,
        measurement_mark=0,
        stability=1.0,
        device_ids=np.array([], dtype=object),
        cluster=none,
        outlier=none.astype(np.bool_),
        representative=none.astype(np.bool_),
        factor=none.astype(np.float64),
        features=(),
        fingerprint=np.zeros((0, 0)),
        clusters=(),
    )
    study = store.create_study(
        StudyRecord(
            f"of {model}", model, "fleet", 0, "mean", 1, 2, 0.5,
            store.save_clustering(clustering), {}, NOW,
        )
    )  # fmt: skip
    n = len(trial["fleet_mean_ms"])
    trial = {"ucb_ms": trial["fleet_mean_ms"], **trial}
    figures: dict[str, Any] = {
        name: np.array(trial.get(name, np.zeros(n)), dtype=kind)
        for names, kind in (
            (("flops", "parameters", "worst_cluster"), np.int64),
            (("fleet_mean_low_ms", "fleet_mean_high_ms", "fleet_p95_ms"), np.float64),
            (("ucb_ms", "fleet_mean_ms", "worst_cluster_ms", "kept_importance"), np.float64),
        )
        for name in names
    }
    times = np.full(n, np.datetime64("2026-11-21T01:00:00", "us"))
    batch = TrialBatch(
        number=np.arange(n),
        counts=np.tile(architecture.widths, (n, 1)) - np.arange(n)[:, None],
        feasible=np.array(trial["feasible"], dtype=np.bool_),
        cluster_ms=np.ones((n, 2)),
        cluster_low_ms=np.ones((n, 2)),
        cluster_high_ms=np.ones((n, 2)),
        started_at=times,
        finished_at=times,
        values=trial.get("values"),
        **figures,
    )
    store.append_trials(study, batch, {})
    return study


@pytest.fixture
def filled(store: Store, architecture: Callable[[str], Architecture]) -> Store:
    fill(
        store,
        architecture("resnet50"),
        "resnet50",
        fleet_mean_ms=[9, 8, 7, 7, 5, 1, 7],
        kept_importance=[0.9, 0.8, 0.8, 0.7, 0.6, 0.99, 0.8],
        feasible=[1, 1, 1, 1, 1, 0, 1],
    )
    return store


def test_rows_come_with_their_columns_and_a_limit(filled: Store) -> None:
    result = filled.query("SELECT number, feasible FROM trials ORDER BY number", limit=2)
    assert result.columns == ("number", "feasible")
    assert [row[0] for row in result.rows] == [0, 1]
    assert result.truncated
    assert not filled.query("SELECT 1", limit=1).truncated
    assert filled.query("SELECT number FROM trials WHERE number > 99").columns == ("number",)


def test_parameters_are_bound(filled: Store) -> None:
    mark = "?" if filled._database.is_sqlite else "%s"
    sql = f"SELECT number FROM trials WHERE fleet_mean_ms = {mark}"
    assert filled.query(sql, [5.0]).rows == ((4,),)


WRITING = [
    "DELETE FROM trials",
    "INSERT INTO runtimes (runtime) VALUES ('x')",
    "UPDATE devices SET weight = 2",
    "DROP TABLE trials",
    "CREATE TABLE x (y integer)",
    "CREATE TEMP TABLE x (y integer)",
    "SELECT 1; DELETE FROM trial_channels",
    "COMMIT; DELETE FROM trial_channels",
    "WITH gone AS (DELETE FROM trial_channels RETURNING *) SELECT * FROM gone",
    "PRAGMA query_only=OFF",
    "PRAGMA journal_mode=DELETE",
    "ATTACH '/tmp/hdap-attached.db' AS other",
    "VACUUM INTO '/tmp/hdap-vacuumed.db'",
    "DO $$ BEGIN SET TRANSACTION READ WRITE; DELETE FROM trial_channels; END $$",
    "SELECT setval('trials_trial_id_seq', 1)",
    "nonsense",
    "",
    " ; ",
]


@pytest.mark.parametrize("sql", WRITING)
def test_nothing_can_be_written(filled: Store, sql: str) -> None:
    count = "SELECT count(*) FROM trial_channels"
    before = filled.query(count).rows
    with pytest.raises(InputError) as error:
        filled.query(sql)
    assert "\n" not in str(error.value)
    assert filled.query(count).rows == before
    assert not Path("/tmp/hdap-vacuumed.db").exists()


def test_turning_writing_on_first_does_not_help(filled: Store) -> None:
    for sql in ("SET TRANSACTION READ WRITE", "SET default_transaction_read_only = off"):
        with contextlib.suppress(InputError):  # the second is legal on PostgreSQL
            filled.query(sql)
        with pytest.raises(InputError):
            filled.query("DELETE FROM trial_channels")
    assert len(filled.query("SELECT * FROM trial_channels").rows) == 7 * 37


def test_the_databases_own_words_are_kept(filled: Store) -> None:
    with pytest.raises(InputError, match="nowhere"):
        filled.query("SELECT * FROM nowhere")


def test_the_best_trial_is_the_fastest_feasible_one(filled: Store) -> None:
    assert filled.query("SELECT study, number FROM best_trials").rows == (("of resnet50", 4),)


def test_the_best_trial_is_the_feasible_one_that_the_search_liked_most(
    store: Store, architecture: Callable[[str], Architecture]
) -> None:
    fill(
        store,
        architecture("resnet50"),
        "m",
        fleet_mean_ms=[1, 2, 3],
        ucb_ms=[3, 2, 1],
        feasible=[1, 1, 0],
    )
    assert store.query("SELECT number FROM best_trials").rows == ((1,),)


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_best_trial_of_several_objectives_is_the_balanced_one(
    store: Store, architecture: Callable[[str], Architecture], objectives: int
) -> None:
    rng = np.random.default_rng(objectives)
    for study in range(4):
        values = rng.integers(1, 12, size=(50, objectives)) / 7.0
        fill(
            store,
            architecture("resnet50"),
            f"m{study}",
            fleet_mean_ms=values[:, 0],
            feasible=rng.random(50) < 0.8,
            values=values,
        )
    ranked = [(s.name, store.trials(s.id), best_first(store.trials(s.id))) for s in store.studies()]
    expected = [(name, int(trials.number[order[0]])) for name, trials, order in ranked]
    found = store.query("SELECT study, number FROM best_trials ORDER BY study").rows
    assert list(found) == expected
    named = store.query("SELECT study, best_number FROM trial_summary ORDER BY study").rows
    assert list(named) == expected


def test_pareto_trials_are_those_that_no_other_beats(filled: Store) -> None:
    found = filled.query("SELECT number FROM pareto_trials ORDER BY number").rows
    assert found == ((0,), (2,), (4,))


def test_pareto_trials_agree_with_the_definition(
    store: Store, architecture: Callable[[str], Architecture]
) -> None:
    rng = np.random.default_rng(3)
    mean, kept = rng.permutation(60), rng.permutation(60)
    feasible = rng.random(60) < 0.7
    fill(store, architecture("resnet50"), "m", fleet_mean_ms=mean, kept_importance=kept,
        feasible=feasible)  # fmt: skip
    better = (mean[:, None] > mean) & (kept[:, None] < kept) & feasible
    expected = np.flatnonzero(feasible & ~better.any(axis=1))
    found = store.query("SELECT number FROM pareto_trials ORDER BY number").rows
    assert [row[0] for row in found] == expected.tolist()


def test_the_summary_has_one_row_a_study(filled: Store) -> None:
    sql = "SELECT study, trials, feasible, best_number, best_fleet_mean_ms FROM trial_summary"
    assert filled.query(sql).rows == (("of resnet50", 7, 6, 4, 5.0),)


def test_each_model_has_a_wide_view(filled: Store, architecture: Callable[[str], Any]) -> None:
    sql = 'SELECT number, "conv1", "layer1.0.conv1" FROM trials_resnet50 ORDER BY number LIMIT 2'
    assert filled.query(sql).rows == ((0, 64, 64), (1, 63, 63))
    columns = filled.query("SELECT * FROM trials_resnet50").columns
    assert {group.name for group in architecture("resnet50").groups} < set(columns)
    assert {"study", "number", "flops", "fleet_mean_ms", "feasible"} < set(columns)


def test_strange_model_names_get_views_of_their_own(
    store: Store, architecture: Callable[[str], Architecture]
) -> None:
    figures = {"fleet_mean_ms": [1.0], "feasible": [True]}
    for model in ("my.package:make", "my_package_make", 'it\'s %s "quoted"', "resnet50"):
        fill(store, architecture("resnet50"), model, **figures)
    views = store.query("SELECT trials_view FROM models ORDER BY model").rows
    assert len(set(views)) == 4
    for (view,) in views:
        assert len(store.query(f'SELECT * FROM "{view}"').rows) == 1


def test_group_names_need_no_escaping_by_the_user(
    store: Store, architecture: Callable[[str], Architecture]
) -> None:
    described = architecture("resnet50")
    names = ("it's", 'a"b', "100%", "ä.b c", "$.x")
    odd = tuple(replace(g, name=n) for g, n in zip(described.groups, names, strict=False))
    changed = replace(described, groups=odd + described.groups[len(odd) :])
    study = fill(store, changed, "odd", fleet_mean_ms=[1, 2], feasible=[1, 1])
    np.testing.assert_array_equal(store.trials(study).counts[1], described.widths - 1)
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    found = store.query(f"SELECT {columns} FROM trials_odd ORDER BY number").rows[0]
    assert found == tuple(described.widths[:5].tolist())


@pytest.fixture
def file_with_trials(tmp_path: Path, architecture: Callable[[str], Architecture]) -> Path:
    path = tmp_path / "t.db"
    with Store.open(str(path)) as store:
        fill(store, architecture("resnet50"), "resnet50", fleet_mean_ms=[1, 2], feasible=[1, 1])
    return path


def test_the_file_opens_in_pandas(file_with_trials: Path) -> None:
    with contextlib.closing(sqlite3.connect(file_with_trials)) as connection:
        frame = pd.read_sql("SELECT * FROM trials_resnet50", connection)
    assert frame["conv1"].tolist() == [64, 63]


def test_the_file_opens_in_duckdb(file_with_trials: Path) -> None:
    import_extension("sqlite_scanner")  # DuckDB's own SQLite extension, from its wheel
    duckdb.sql("LOAD sqlite_scanner")
    duckdb.sql(f"ATTACH '{file_with_trials}' AS hdap_file (TYPE sqlite, READ_ONLY)")
    counted = duckdb.sql("SELECT count(*) FROM hdap_file.trials")
    assert counted is not None
    assert counted.fetchall() == [(2,)]


def test_named_parameters_are_filled_on_either_database(store: Store) -> None:
    asked = (
        "SELECT :ms AS ms, ':ms' AS text, '50 %' AS percent, CAST(:n AS integer) AS n -- :none\n"
        "WHERE :name = 'it''s :ms' AND 7 % 4 = 3"
    )
    found = store.query(asked, {"ms": 1.5, "n": 3, "name": "it's :ms"})
    assert found.rows == ((1.5, ":ms", "50 %", 3),)


def test_a_parameter_without_a_value_is_named(store: Store) -> None:
    with pytest.raises(InputError, match="ms"):
        store.query("SELECT :ms", {"other": 1})

"""Read-only SQL, the views, and the same file in other programs."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import pandas as pd
import psycopg
import pytest
from duckdb_extensions import import_extension

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord, QueryLimits, StudyRecord, TrialBatch
from hdap.fleet_data.store import Store
from hdap.search.analysis.pareto_front import best_first


class Server(Protocol):
    def create_space(self) -> str: ...


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
    result = filled.ask(
        "SELECT number, feasible FROM trials ORDER BY number", limits=QueryLimits(rows=2)
    )
    assert result.columns == ("number", "feasible")
    assert [row[0] for row in result.rows] == [0, 1]
    assert result.truncated
    assert not filled.ask("SELECT 1", limits=QueryLimits(rows=1)).truncated
    assert filled.ask("SELECT number FROM trials WHERE number > 99").columns == ("number",)


def test_parameters_are_bound(filled: Store) -> None:
    mark = "?" if filled._database.is_sqlite else "%s"
    sql = f"SELECT number FROM trials WHERE fleet_mean_ms = {mark}"
    assert filled.ask(sql, [5.0]).rows == ((4,),)


@pytest.fixture(scope="module")
def server_store(postgres: Server) -> Iterator[Store]:
    url = postgres.create_space()
    with Store.open(url) as store:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE FUNCTION acts() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        yield store


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
    "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SELECT setval('trials_trial_id_seq', 1)",
    "nonsense",
    "",
    " ; ",
]


@pytest.mark.parametrize("sql", WRITING)
def test_nothing_can_be_written(filled: Store, sql: str) -> None:
    count = "SELECT count(*) FROM trial_channels"
    before = filled.ask(count).rows
    with pytest.raises(InputError) as error:
        filled.ask(sql)
    assert "\n" not in str(error.value)
    assert filled.ask(count).rows == before
    assert not Path("/tmp/hdap-vacuumed.db").exists()


ACTING = [
    "COPY (SELECT 1) TO PROGRAM 'touch {file}'",
    "COPY devices TO '{file}'",
    "COPY (SELECT 1) TO PROGRAM 'touch {file}'; SELECT 1",
    "SELECT 1; COPY (SELECT 1) TO PROGRAM 'touch {file}'",
    "EXPLAIN ANALYZE CREATE TABLE made AS SELECT 1",
    "EXPLAIN ANALYZE WITH g AS (DELETE FROM trial_channels RETURNING 1) SELECT * FROM g",
    "SELECT 1 INTO made",
    "SELECT * FROM devices FOR UPDATE",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_read_file/**/('PG_VERSION')",
    "SELECT PG_CATALOG . \"pg_read_file\" -- x\n('PG_VERSION')",
    "SELECT a$$, pg_read_file('PG_VERSION'), b$$ FROM (SELECT 1 AS a$$) x",
    "SELECT U&\"pg\\005fread_file\"('PG_VERSION')",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_export(1, '{file}')",
    "SELECT set_config('role', 'none', false)",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT nextval('devices_device_key_seq')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_sleep(60)",
    "SELECT acts()",
    "LISTEN x",
    "SET ROLE none",
    "(((((" * 20_000,
]


@pytest.mark.parametrize("sql", ACTING)
def test_what_is_refused_on_a_server_did_not_run(
    server_store: Store, tmp_path: Path, sql: str
) -> None:
    file = tmp_path / "written"
    tmp_path.chmod(0o777)  # the server is another user
    with pytest.raises(InputError, match=r"nothing of it was run|must be written plainly"):
        server_store.ask(sql.replace("{file}", str(file)))
    assert not file.exists()
    assert server_store.query("SELECT count(*) FROM pg_class WHERE relname = 'made'").rows == (
        (0,),
    )


def test_a_superusers_rights_are_put_down_and_that_is_said(server_store: Store) -> None:
    found = server_store.ask("SELECT current_user, count(*) FROM devices")
    assert found.rows == (("pg_read_all_data", 0),)
    assert "hdap is a superuser" in found.remarks[0]
    assert server_store.query("SELECT current_user").rows == (("hdap",),)
    with pytest.raises(InputError, match="permission denied"):
        server_store.ask("SELECT * FROM pg_file_settings")


@pytest.mark.parametrize(
    "sql",
    [
        "VALUES (1), (2)",
        "TABLE devices",
        "(SELECT 1) UNION SELECT 2; ",
        "-- of the fleet\nWITH n AS (SELECT 1 AS nextval) SELECT nextval, 'pg_sleep' FROM n",
        "SELECT random(), now(), pg_database_size(current_database())",
        "SELECT * FROM devices TABLESAMPLE system (10)",
        "EXPLAIN SELECT 1",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT 1",
        "/* how */ explain analyze verbose SELECT * FROM devices",
    ],
)
def test_what_reads_is_let_through(server_store: Store, sql: str) -> None:
    assert server_store.ask(sql).columns


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"


def test_a_question_ends_and_has_as_many_rows_as_wanted(store: Store) -> None:
    with pytest.raises(InputError, match=r"within 0.3 s"):
        store.ask(ENDLESS.format("count(*)"), limits=QueryLimits(seconds=0.3))
    found = store.ask(ENDLESS.format("x"), limits=QueryLimits(rows=3, seconds=30))
    assert (found.rows, found.truncated) == (((1,), (2,), (3,)), True)
    with store.asking(ENDLESS.format("x"), limits=QueryLimits(seconds=30)) as asked:
        assert [next(asked.rows)[0] for _ in range(2000)] == list(range(1, 2001))
    assert store.ask("SELECT 1").rows == ((1,),)


@pytest.mark.parametrize(
    "value",
    ["randomblob(1e9)", "zeroblob(1e9)", "hex(zeroblob(4e7))", "replace(hex(zeroblob(2e7)),0,11)"],
)
def test_a_large_value_is_refused(tmp_path: Path, value: str) -> None:
    with (
        Store.open(str(tmp_path / "t.db")) as store,
        pytest.raises(InputError, match="at most 64 MiB"),
    ):
        store.ask(f"SELECT {value}")


def test_many_large_values_are_refused(store: Store) -> None:
    value = "zeroblob(6e7)" if store._database.is_sqlite else "repeat('x', 60000000)"
    with pytest.raises(InputError, match="must fit into 256 MiB, but its first 5 rows do not"):
        store.ask(f"SELECT {value} FROM ({ENDLESS.format('x')}) AS c")


def test_a_question_that_cannot_be_stopped_is_left_alone(tmp_path: Path) -> None:
    slow = "SELECT instr(zeroblob(6e5), zeroblob(3e5) || x'01')"  # one function, seconds of it
    with Store.open(str(tmp_path / "t.db")) as store:
        began = time.monotonic()
        with pytest.raises(InputError, match="was stopped"):
            store.ask(slow, limits=QueryLimits(seconds=0.2))
        assert time.monotonic() - began < 4


def test_the_databases_own_words_are_kept(filled: Store) -> None:
    with pytest.raises(InputError, match="nowhere"):
        filled.ask("SELECT * FROM nowhere")


def test_the_best_trial_is_the_fastest_feasible_one(filled: Store) -> None:
    assert filled.ask("SELECT study, number FROM best_trials").rows == (("of resnet50", 4),)


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
    assert store.ask("SELECT number FROM best_trials").rows == ((1,),)


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
    found = filled.ask("SELECT number FROM pareto_trials ORDER BY number").rows
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
    found = store.ask("SELECT number FROM pareto_trials ORDER BY number").rows
    assert [row[0] for row in found] == expected.tolist()


def test_the_summary_has_one_row_a_study(filled: Store) -> None:
    sql = "SELECT study, trials, feasible, best_number, best_fleet_mean_ms FROM trial_summary"
    assert filled.ask(sql).rows == (("of resnet50", 7, 6, 4, 5.0),)


def test_each_model_has_a_wide_view(filled: Store, architecture: Callable[[str], Any]) -> None:
    sql = 'SELECT number, "conv1", "layer1.0.conv1" FROM trials_resnet50 ORDER BY number LIMIT 2'
    assert filled.ask(sql).rows == ((0, 64, 64), (1, 63, 63))
    columns = filled.ask("SELECT * FROM trials_resnet50").columns
    assert {group.name for group in architecture("resnet50").groups} < set(columns)
    assert {"study", "number", "flops", "fleet_mean_ms", "feasible"} < set(columns)


def test_strange_model_names_get_views_of_their_own(
    store: Store, architecture: Callable[[str], Architecture]
) -> None:
    figures = {"fleet_mean_ms": [1.0], "feasible": [True]}
    for model in ("my.package:make", "my_package_make", 'it\'s %s "quoted"', "resnet50"):
        fill(store, architecture("resnet50"), model, **figures)
    views = store.ask("SELECT trials_view FROM models ORDER BY model").rows
    assert len(set(views)) == 4
    for (view,) in views:
        assert len(store.ask(f'SELECT * FROM "{view}"').rows) == 1


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
    found = store.ask(f"SELECT {columns} FROM trials_odd ORDER BY number").rows[0]
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
    found = store.ask(asked, {"ms": 1.5, "n": 3, "name": "it's :ms"})
    assert found.rows == ((1.5, ":ms", "50 %", 3),)


def test_a_parameter_without_a_value_is_named(store: Store) -> None:
    with pytest.raises(InputError, match="ms"):
        store.ask("SELECT :ms", {"other": 1})

"""Opening: creating, upgrading, refusing; several openers at once; errors in one line."""

import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from hdap.fleet_data.errors import StoreError
from hdap.fleet_data.ingest.row_hash import with_software
from hdap.fleet_data.store import Store
from hdap.fleet_data.store import migrate as migrating
from hdap.fleet_data.store.engine import parse_url, shown
from hdap.fleet_data.store.schema import (
    all_measurements,
    cluster_devices,
    epochs,
    ingests,
    metadata,
    models,
    surrogates,
)
from hdap.fleet_data.telemetry import COLUMNS

NEWER = (
    *("unit_ms", "unit_sure", "suspicion_id", "software_key"),
    *("stands_for", "sustained_s", "reduced_rows", "reduced_spread"),
)
OF_DEVICES = ("software", "factor_sd", "software_before", "software_since_us")
OF_INGESTS = ("source_version", "content_rows", "content_low", "content_high")
EXTRA = '{"precision":"int8","site":"x","threads":"4"}'


def refused(url: str, **options: Any) -> str:
    with pytest.raises(StoreError) as error:
        Store.open(url, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_fresh_database_has_the_tables_and_views_of_the_schema(url: str) -> None:
    with Store.open(url) as store, store._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        views = {"measurements", "telemetry", "set_aside", "variant_latencies"}
        views |= {"best_trials", "pareto_trials", "trial_summary", "assignment_summary"}
        assert set(sa.inspect(connection).get_view_names()) == views


def test_the_newest_migration_is_the_head_that_the_store_expects() -> None:
    assert ScriptDirectory(str(migrating._FOLDER)).get_heads() == [migrating.HEAD]
    assert migrating.HEAD in migrating._known()


def _columns(table: sa.Table, *newer: str) -> list[sa.Column[Any]]:
    return [
        sa.Column(
            c.name,
            c.type,
            *(sa.ForeignKey(f.target_fullname) for f in c.foreign_keys),
            primary_key=c.primary_key,
            nullable=c.nullable,
        )
        for c in table.columns
        if c.name not in newer
    ]


def baseline(url: str) -> None:
    """A database as the first release made it, with a device and a row."""
    old = sa.MetaData()
    for table in metadata.sorted_tables:
        later = (
            *("unit_suspicions", "software", "assignments", "pruned_histories"),
            *("held_out", "learning_curves"),
        )
        changed = ("all_measurements", "cluster_devices", "epochs", "ingests", "surrogates")
        if table.name not in (*changed, *later):
            table.to_metadata(old)
    sa.Table("cluster_devices", old, *_columns(cluster_devices, *OF_DEVICES))
    sa.Table("epochs", old, *_columns(epochs, "metric"))
    place = sa.UniqueConstraint(
        "clustering_id", "model", "kind", "cluster", name="surrogates_of_cluster"
    )
    sa.Table("surrogates", old, *_columns(surrogates, "noise_floor"), place)
    sa.Table("ingests", old, *_columns(ingests, *OF_INGESTS))
    rows = sa.Table("measurements", old, *_columns(all_measurements, *NEWER))
    sa.Index("measurements_row_hash", rows.c.row_hash, unique=True)
    engine = sa.create_engine(parse_url(url))
    with engine.begin() as connection:
        old.create_all(connection)
        for statement in (
            "CREATE VIEW telemetry AS SELECT d.device_id, m.latency_ms FROM measurements m "
            "JOIN devices d ON d.device_key = m.device_key",
            "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('0001')",
            "INSERT INTO devices (device_id, weight) VALUES ('cam', 2.5)",
            "INSERT INTO configurations (model, channels, content_hash) VALUES ('resnet50', '', 1)",
            "INSERT INTO ingests (source, started_at, rows_read, rows_added, rows_known, "
            "rows_rejected) VALUES ('t.csv', '2026-01-01 00:00:00', 1, 1, 0, 0)",
            "INSERT INTO measurements (device_key, configuration_key, ingest_id, latency_ms, "
            "row_hash) VALUES (1, 1, 1, 71.5, 5)",
        ):
            connection.execute(sa.text(statement))
        said = (
            "INSERT INTO measurements (device_key, configuration_key, ingest_id, latency_ms, "
            "row_hash, extra) VALUES (1, 1, 1, 30.5, 6, :extra)"
        )
        connection.execute(sa.text(said), {"extra": EXTRA})
    engine.dispose()


def test_a_database_of_the_first_release_becomes_one_of_this_and_keeps_its_rows(url: str) -> None:
    baseline(url)
    for _ in range(2):
        with Store.open(url) as store, store._database.reading() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
            read = store.measurements("resnet50")
            assert read.latency_ms.tolist() == [71.5, 30.5]
            precision = read.software["precision"]
            assert [precision.texts[code] for code in precision.codes] == ["", "int8"]
            found = store.query("SELECT device_id, weight, threads, extra FROM telemetry").rows
            assert found == (("cam", 2.5, None, None), ("cam", 2.5, 4, '{"site":"x"}'))
            hashes = connection.execute(sa.select(all_measurements.c.row_hash)).scalars()
            software = '{"precision": "int8", "threads": "4"}'
            assert list(hashes) == [5, with_software(6, software)]
            assert store.query("SELECT * FROM set_aside").rows == ()
            assert store.query("SELECT * FROM trial_summary").rows == ()


def test_a_database_gets_the_revisions_that_it_lacks(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(url) as store, store._database.writing() as connection:
        connection.execute(sa.text("INSERT INTO devices (device_id, weight) VALUES ('cam', 2.5)"))
    later = tmp_path / "migrations"
    shutil.copytree(migrating._FOLDER, later)
    (later / "versions" / "r9000_later.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision, down_revision = '9000', '{migrating.HEAD}'\n"
        "def upgrade():\n    op.add_column('devices', sa.Column('site', sa.Text()))\n"
    )
    monkeypatch.setattr(migrating, "_FOLDER", later)
    monkeypatch.setattr(migrating, "HEAD", "9000")
    with monkeypatch.context() as nowhere:
        nowhere.setattr("hdap.fleet_data.store.store.can_be_written", lambda location: False)
        assert "it is upgraded there" in refused(url, read_only=True)
    for _ in range(2):  # what only wants to read upgrades it, where that can be done
        with Store.open(url, read_only=True) as store:
            found = store.query("SELECT device_id, weight, site FROM devices").rows
            assert found == (("cam", 2.5, None),)


def test_the_telemetry_view_has_the_contracts_columns(store: Store) -> None:
    columns = store.query("SELECT * FROM telemetry").columns
    assert set(columns) == {column.name for column in COLUMNS} | {"extra"}


def test_opening_again_keeps_what_is_stored(url: str) -> None:
    for _ in range(2):
        with Store.open(url) as store:
            assert store.models() == ()
            assert store.measurement_mark() == 0


@pytest.mark.parametrize("version", ["9999", "0000", "nonsense"])
def test_another_version_is_refused_with_both_versions(url: str, version: str) -> None:
    with Store.open(url) as store, store._database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    said = refused(url)
    assert version in said
    assert migrating.HEAD in said
    assert "upgrade hdap" in said


def test_another_programs_database_is_refused(url: str) -> None:
    engine = sa.create_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE users (id integer)"))
    engine.dispose()
    assert "another program's tables" in refused(url)


def test_an_empty_database_is_not_created_for_a_reader(url: str) -> None:
    assert "hdap ingest" in refused(url, read_only=True)
    assert "hdap ingest" in refused(url, create=False)


def test_a_store_opened_read_only_reads_and_refuses_to_write(store: Store, url: str) -> None:
    with Store.open(url, read_only=True) as reader:
        assert reader.measurement_mark() == 0
        with pytest.raises(StoreError, match="read-only"):
            reader.finish_study(1, "stopped")


def test_openers_at_once_migrate_once(new_url: Callable[[], str]) -> None:
    for _ in range(3):
        url = new_url()
        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(lambda url=url: Store.open(url), [url] * 8))
        for store in stores:
            assert store.models() == ()
            store.close()


def test_processes_that_open_at_once_migrate_once(url: str) -> None:
    program = "import sys; from hdap.fleet_data.store import Store; Store.open(sys.argv[1]).close()"
    children = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(3)]
    assert [child.wait() for child in children] == [0] * 3


def test_what_another_opener_makes_between_two_looks_is_not_another_programs(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = migrating._version
    looks: list[str | None] = []

    def look(connection: sa.Connection) -> str | None:
        looks.append(real(connection))
        if len(looks) == 1:
            Store.open(url).close()
        return looks[-1]

    monkeypatch.setattr(migrating, "_version", look)
    with Store.open(url) as store:
        assert store.models() == ()
    assert looks[0] is None
    assert looks[-1] == migrating.HEAD


def test_reading_sees_one_state_while_others_commit(store: Store, url: str) -> None:
    count = sa.select(sa.func.count()).select_from(models)
    row = {"model": "m", "digest": "d", "flops": 1, "parameters": 1, "width_groups": 1}
    row |= {"created_at": datetime(2026, 1, 1, tzinfo=UTC), "architecture": "{}"}
    with store._database.reading() as reader, Store.open(url) as other:
        assert reader.scalar(count) == 0
        with other._database.writing() as writer:
            writer.execute(sa.insert(models).values(row))
        assert reader.scalar(count) == 0
    with store._database.reading() as reader:
        assert reader.scalar(count) == 1


def test_a_url_is_a_path_or_a_database(tmp_path: Path) -> None:
    assert parse_url("a/b.db") == parse_url("sqlite:///a/b.db")
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        assert parse_url(f"{scheme}://h/d").drivername == "postgresql+psycopg"
    assert "***" in shown(parse_url("postgresql://me:secret@h/d"))
    assert "secret" not in shown(parse_url("postgresql://h/d?user=me&password=secret"))
    assert "SQLite or PostgreSQL, got mysql" in refused("mysql://h/d")
    assert "in memory" in refused("sqlite://")


def test_files_that_cannot_be_stores_are_named(tmp_path: Path) -> None:
    assert "is a directory" in refused(str(tmp_path))
    assert "does not: create it" in refused(str(tmp_path / "no" / "t.db"))
    assert "there is no database" in refused(str(tmp_path / "t.db"), create=False)
    text = tmp_path / "text.db"
    text.write_text("device_id,model\n" * 100)
    assert "not a database" in refused(str(text))


def test_a_locked_database_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdap.fleet_data.store.engine.BUSY_SECONDS", 0.05)
    path = tmp_path / "t.db"
    with Store.open(str(path)) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process"):
            store.finish_study(1, "stopped")
        assert store.models() == ()  # readers do not wait
        other.execute("ROLLBACK")
        other.close()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "t.db")) as store:
        with store._database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreError, match="disk is full"), store._database.writing() as writer:
            writer.exec_driver_sql("INSERT INTO runtimes (runtime) VALUES (hex(zeroblob(99999)))")


def test_an_unreachable_server_is_named_without_its_password() -> None:
    said = refused("postgresql://me:secret@127.0.0.1:1/d")
    assert "not reachable" in said
    assert "secret" not in said


def test_a_database_that_is_not_on_the_server_is_named(postgres: Any) -> None:
    assert "does not exist: create it" in refused(postgres.url("nowhere"))


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'hdap[postgres]'" in refused("postgresql://127.0.0.1:1/d")


def test_sqlite_is_in_wal_mode_with_foreign_keys(tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "t.db")) as store, store._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_store_in_a_folder_that_may_not_be_written_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.db"
    Store.open(str(path)).close()
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with Store.open(str(path), read_only=True) as store:
        assert store.query("SELECT count(*) FROM trials").rows == ((0,),)
        assert [one.name for one in tmp_path.iterdir()] == ["t.db"]  # no -wal, no -shm


def test_the_database_file_is_an_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "with space & ünicode?.db"
    Store.open(str(path)).close()
    assert stat.S_ISREG(path.stat().st_mode)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]

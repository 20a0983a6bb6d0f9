"""The first schema.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
FLOAT: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Create all tables and views."""
    _fleet()
    _clusters()
    _searches()
    _telemetry_view(op.get_context().dialect.name)
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def _fleet() -> None:
    op.create_table(
        "models",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("width_groups", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trials_view", sa.Text(), nullable=True),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model"),
        sa.UniqueConstraint("trials_view"),
    )
    op.create_table(
        "importances",
        sa.Column("importance_id", KEY, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("architecture_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("curves", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("importance_id"),
    )
    op.create_table(
        "devices",
        sa.Column("device_key", KEY, nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("weight", FLOAT, nullable=False),
        sa.PrimaryKeyConstraint("device_key"),
        sa.UniqueConstraint("device_id"),
    )
    op.create_table(
        "configurations",
        sa.Column("configuration_key", KEY, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=True),
        sa.Column("parameters", sa.BigInteger(), nullable=True),
        sa.Column("content_hash", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("configuration_key"),
        sa.UniqueConstraint("content_hash"),
    )
    op.create_table(
        "runtimes",
        sa.Column("runtime_key", KEY, nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("runtime_key"),
        sa.UniqueConstraint("runtime"),
    )
    op.create_table(
        "ingests",
        sa.Column("ingest_id", KEY, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows_read", sa.BigInteger(), nullable=False),
        sa.Column("rows_added", sa.BigInteger(), nullable=False),
        sa.Column("rows_known", sa.BigInteger(), nullable=False),
        sa.Column("rows_rejected", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ingest_id"),
    )
    op.create_table(
        "measurements",
        sa.Column("measurement_id", KEY, nullable=False),
        sa.Column("device_key", KEY, nullable=False),
        sa.Column("configuration_key", KEY, nullable=False),
        sa.Column("ingest_id", KEY, nullable=False),
        sa.Column("measured_at_us", sa.BigInteger(), nullable=True),
        sa.Column("latency_ms", FLOAT, nullable=False),
        sa.Column("latency_p95_ms", FLOAT, nullable=True),
        sa.Column("runs", sa.BigInteger(), nullable=True),
        sa.Column("batch_size", sa.BigInteger(), nullable=True),
        sa.Column("runtime_key", KEY, nullable=True),
        sa.Column("cpu_freq_mhz", FLOAT, nullable=True),
        sa.Column("gpu_freq_mhz", FLOAT, nullable=True),
        sa.Column("temperature_c", FLOAT, nullable=True),
        sa.Column("cpu_load_pct", FLOAT, nullable=True),
        sa.Column("mem_available_mb", FLOAT, nullable=True),
        sa.Column("battery_pct", FLOAT, nullable=True),
        sa.Column("battery_health_pct", FLOAT, nullable=True),
        sa.Column("power_w", FLOAT, nullable=True),
        sa.Column("energy_mj", FLOAT, nullable=True),
        sa.Column("extra", sa.Text(), nullable=True),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["configuration_key"],
            ["configurations.configuration_key"],
        ),
        sa.ForeignKeyConstraint(
            ["device_key"],
            ["devices.device_key"],
        ),
        sa.ForeignKeyConstraint(
            ["ingest_id"],
            ["ingests.ingest_id"],
        ),
        sa.ForeignKeyConstraint(
            ["runtime_key"],
            ["runtimes.runtime_key"],
        ),
        sa.PrimaryKeyConstraint("measurement_id"),
    )
    op.create_index("measurements_row_hash", "measurements", ["row_hash"], unique=True)


def _clusters() -> None:
    op.create_table(
        "clusterings",
        sa.Column("clustering_id", KEY, nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("measurement_mark", sa.BigInteger(), nullable=False),
        sa.Column("stability", FLOAT, nullable=True),
        sa.Column("features", JSON, nullable=False),
        sa.PrimaryKeyConstraint("clustering_id"),
    )
    op.create_table(
        "clusters",
        sa.Column("clustering_id", KEY, nullable=False),
        sa.Column("cluster", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.Column("weight_share", FLOAT, nullable=True),
        sa.Column("relative_latency", FLOAT, nullable=True),
        sa.Column("spread", FLOAT, nullable=True),
        sa.Column("stability", FLOAT, nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("context", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["clustering_id"],
            ["clusterings.clustering_id"],
        ),
        sa.PrimaryKeyConstraint("clustering_id", "cluster"),
    )
    op.create_table(
        "cluster_devices",
        sa.Column("clustering_id", KEY, nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Integer(), nullable=False),
        sa.Column("outlier", sa.Boolean(), nullable=False),
        sa.Column("representative", sa.Boolean(), nullable=False),
        sa.Column("factor", FLOAT, nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clustering_id"],
            ["clusterings.clustering_id"],
        ),
        sa.PrimaryKeyConstraint("clustering_id", "device_id"),
    )
    op.create_table(
        "surrogates",
        sa.Column("surrogate_id", KEY, nullable=False),
        sa.Column("clustering_id", KEY, nullable=False),
        sa.Column("cluster", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("architecture_digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("measurement_mark", sa.BigInteger(), nullable=False),
        sa.Column("measured_rows", sa.BigInteger(), nullable=False),
        sa.Column("configurations", sa.BigInteger(), nullable=False),
        sa.Column("mape", FLOAT, nullable=True),
        sa.Column("kendall_tau", FLOAT, nullable=True),
        sa.Column("coverage", FLOAT, nullable=True),
        sa.Column("dense_ms", FLOAT, nullable=True),
        sa.Column("warning", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clustering_id"],
            ["clusterings.clustering_id"],
        ),
        sa.PrimaryKeyConstraint("surrogate_id"),
        sa.UniqueConstraint(
            "clustering_id", "model", "kind", "cluster", name="surrogates_of_cluster"
        ),
    )


def _searches() -> None:
    op.create_table(
        "studies",
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("sampler", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("objective", sa.Text(), nullable=False),
        sa.Column("flops_low", sa.BigInteger(), nullable=False),
        sa.Column("flops_high", sa.BigInteger(), nullable=False),
        sa.Column("kept_importance_floor", FLOAT, nullable=True),
        sa.Column("clustering_id", KEY, nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sampler_state", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["clustering_id"],
            ["clusterings.clustering_id"],
        ),
        sa.PrimaryKeyConstraint("study_id"),
        sa.UniqueConstraint("study"),
    )
    op.create_table(
        "trials",
        sa.Column("trial_id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("fleet_mean_ms", FLOAT, nullable=True),
        sa.Column("fleet_mean_low_ms", FLOAT, nullable=True),
        sa.Column("fleet_mean_high_ms", FLOAT, nullable=True),
        sa.Column("fleet_p95_ms", FLOAT, nullable=True),
        sa.Column("ucb_ms", FLOAT, nullable=True),
        sa.Column("worst_cluster_ms", FLOAT, nullable=True),
        sa.Column("worst_cluster", sa.Integer(), nullable=False),
        sa.Column("kept_importance", FLOAT, nullable=True),
        sa.Column("feasible", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("channels", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["studies.study_id"],
        ),
        sa.PrimaryKeyConstraint("trial_id"),
        sa.UniqueConstraint("study_id", "number", name="trials_number"),
    )
    op.create_table(
        "trial_channels",
        sa.Column("trial_id", KEY, nullable=False),
        sa.Column("width_group", sa.Text(), nullable=False),
        sa.Column("channels", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trial_id"],
            ["trials.trial_id"],
        ),
        sa.PrimaryKeyConstraint("trial_id", "width_group"),
    )
    op.create_table(
        "trial_clusters",
        sa.Column("trial_id", KEY, nullable=False),
        sa.Column("cluster", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("latency_ms", FLOAT, nullable=True),
        sa.Column("latency_low_ms", FLOAT, nullable=True),
        sa.Column("latency_high_ms", FLOAT, nullable=True),
        sa.ForeignKeyConstraint(
            ["trial_id"],
            ["trials.trial_id"],
        ),
        sa.PrimaryKeyConstraint("trial_id", "cluster"),
    )


ISO_TIME = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ', m.measured_at_us / 1e6, 'unixepoch')",
    "postgresql": "to_char(to_timestamp(m.measured_at_us / 1e6) AT TIME ZONE 'UTC', "
    """'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
}


def _telemetry_view(dialect: str) -> None:
    op.execute(
        f"""CREATE VIEW telemetry AS
        SELECT d.device_id, c.model, m.latency_ms, c.channels, {ISO_TIME[dialect]} AS timestamp,
            m.latency_p95_ms, m.runs, m.batch_size, r.runtime, m.cpu_freq_mhz, m.gpu_freq_mhz,
            m.temperature_c, m.cpu_load_pct, m.mem_available_mb, m.battery_pct,
            m.battery_health_pct, m.power_w, m.energy_mj, d.weight, m.extra
        FROM measurements m
        JOIN devices d ON d.device_key = m.device_key
        JOIN configurations c ON c.configuration_key = m.configuration_key
        LEFT JOIN runtimes r ON r.runtime_key = m.runtime_key"""
    )


_RANKED = """
    SELECT t.*, row_number() OVER (
        PARTITION BY t.study_id ORDER BY t.ucb_ms, t.number) AS place
    FROM trials t WHERE t.feasible"""

# the fastest of all that keep more: a trial that is not below it is dominated
_FRONT = """
    SELECT t.*, min(t.fleet_mean_ms) OVER (
        PARTITION BY t.study_id ORDER BY t.kept_importance DESC, t.fleet_mean_ms, t.number
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS fastest_before
    FROM trials t WHERE t.feasible"""

_COLUMNS = """trial_id, study_id, study, number, flops, parameters, fleet_mean_ms,
    fleet_mean_low_ms, fleet_mean_high_ms, fleet_p95_ms, ucb_ms, worst_cluster_ms,
    worst_cluster, kept_importance, feasible, started_at, finished_at, channels"""

VIEWS = {
    "best_trials": f"SELECT {_COLUMNS} FROM ({_RANKED}) ranked WHERE place = 1",
    "pareto_trials": f"""SELECT {_COLUMNS} FROM ({_FRONT}) front
        WHERE fastest_before IS NULL OR fleet_mean_ms < fastest_before""",
    "trial_summary": """
        SELECT s.study_id, s.study, s.model, s.sampler, s.objective, s.state,
            s.flops_low, s.flops_high, s.kept_importance_floor,
            count(t.trial_id) AS trials,
            count(CASE WHEN t.feasible THEN 1 END) AS feasible,
            max(b.number) AS best_number, max(b.fleet_mean_ms) AS best_fleet_mean_ms,
            max(b.flops) AS best_flops, max(b.kept_importance) AS best_kept_importance,
            s.created_at, min(t.started_at) AS first_started_at,
            max(t.finished_at) AS last_finished_at
        FROM studies s
        LEFT JOIN trials t ON t.study_id = s.study_id
        LEFT JOIN best_trials b ON b.study_id = s.study_id
        GROUP BY s.study_id, s.study, s.model, s.sampler, s.objective, s.state,
            s.flops_low, s.flops_high, s.kept_importance_floor, s.created_at""",
}

"""The tables as SQLAlchemy sees them; a test compares them with what `migrations/` makes."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from hdap.fleet_data.telemetry import CONTEXT


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


KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite's rowid must say INTEGER
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
FLOAT: sa.Double[float] = sa.Double()

metadata = sa.MetaData()


def _key(name: str) -> "sa.Column[int]":
    return sa.Column(name, KEY, primary_key=True)


def _reference(name: str, target: str, *, primary_key: bool = False) -> "sa.Column[int]":
    foreign = sa.ForeignKey(target)
    return sa.Column(name, KEY, foreign, nullable=False, primary_key=primary_key)


models = sa.Table(
    "models",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("parameters", sa.BigInteger, nullable=False),
    sa.Column("width_groups", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("trials_view", sa.Text, unique=True),
    sa.Column("architecture", sa.Text, nullable=False),
)

importances = sa.Table(
    "importances",
    metadata,
    _key("importance_id"),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("architecture_digest", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("curves", sa.LargeBinary, nullable=False),
)

devices = sa.Table(
    "devices",
    metadata,
    _key("device_key"),
    sa.Column("device_id", sa.Text, nullable=False, unique=True),
    sa.Column("weight", FLOAT, nullable=False),
)

configurations = sa.Table(
    "configurations",
    metadata,
    _key("configuration_key"),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("channels", sa.Text, nullable=False),
    sa.Column("flops", sa.BigInteger),
    sa.Column("parameters", sa.BigInteger),
    # PostgreSQL cannot index texts as long as the channels of a deep network
    sa.Column("content_hash", sa.BigInteger, nullable=False, unique=True),
)

runtimes = sa.Table(
    "runtimes",
    metadata,
    _key("runtime_key"),
    sa.Column("runtime", sa.Text, nullable=False, unique=True),
)

ingests = sa.Table(
    "ingests",
    metadata,
    _key("ingest_id"),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("rows_read", sa.BigInteger, nullable=False),
    sa.Column("rows_added", sa.BigInteger, nullable=False),
    sa.Column("rows_known", sa.BigInteger, nullable=False),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False),
)

measurements = sa.Table(
    "measurements",
    metadata,
    _key("measurement_id"),
    _reference("device_key", "devices.device_key"),
    _reference("configuration_key", "configurations.configuration_key"),
    _reference("ingest_id", "ingests.ingest_id"),
    sa.Column("measured_at_us", sa.BigInteger),
    sa.Column("latency_ms", FLOAT, nullable=False),
    sa.Column("latency_p95_ms", FLOAT),
    sa.Column("runs", sa.BigInteger),
    sa.Column("batch_size", sa.BigInteger),
    sa.Column("runtime_key", KEY, sa.ForeignKey("runtimes.runtime_key")),
    *(sa.Column(name, FLOAT) for name in CONTEXT),
    sa.Column("extra", sa.Text),
    sa.Column("row_hash", sa.BigInteger, nullable=False),
    sa.Index("measurements_row_hash", "row_hash", unique=True),
)

clusterings = sa.Table(
    "clusterings",
    metadata,
    _key("clustering_id"),
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("parameters", JSON, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("measurement_mark", sa.BigInteger, nullable=False),
    sa.Column("stability", FLOAT),
    sa.Column("features", JSON, nullable=False),
)

clusters = sa.Table(
    "clusters",
    metadata,
    _reference("clustering_id", "clusterings.clustering_id", primary_key=True),
    sa.Column("cluster", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("devices", sa.BigInteger, nullable=False),
    sa.Column("weight_share", FLOAT),
    sa.Column("relative_latency", FLOAT),
    sa.Column("spread", FLOAT),
    sa.Column("stability", FLOAT),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("context", JSON, nullable=False),
)

cluster_devices = sa.Table(
    "cluster_devices",
    metadata,
    _reference("clustering_id", "clusterings.clustering_id", primary_key=True),
    sa.Column("device_id", sa.Text, primary_key=True),
    sa.Column("cluster", sa.Integer, nullable=False),
    sa.Column("outlier", sa.Boolean, nullable=False),
    sa.Column("representative", sa.Boolean, nullable=False),
    sa.Column("factor", FLOAT),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
)

surrogates = sa.Table(
    "surrogates",
    metadata,
    _key("surrogate_id"),
    _reference("clustering_id", "clusterings.clustering_id"),
    sa.Column("cluster", sa.Integer, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("architecture_digest", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("measurement_mark", sa.BigInteger, nullable=False),
    sa.Column("measured_rows", sa.BigInteger, nullable=False),
    sa.Column("configurations", sa.BigInteger, nullable=False),
    sa.Column("mape", FLOAT),
    sa.Column("kendall_tau", FLOAT),
    sa.Column("coverage", FLOAT),
    sa.Column("dense_ms", FLOAT),
    sa.Column("warning", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("clustering_id", "model", "kind", "cluster", name="surrogates_of_cluster"),
)

studies = sa.Table(
    "studies",
    metadata,
    _key("study_id"),
    sa.Column("study", sa.Text, nullable=False, unique=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("sampler", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("objective", sa.Text, nullable=False),
    sa.Column("flops_low", sa.BigInteger, nullable=False),
    sa.Column("flops_high", sa.BigInteger, nullable=False),
    sa.Column("kept_importance_floor", FLOAT),
    sa.Column("clustering_id", KEY, sa.ForeignKey("clusterings.clustering_id"), nullable=False),
    sa.Column("settings", JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("sampler_state", JSON, nullable=False),
)

trials = sa.Table(
    "trials",
    metadata,
    _key("trial_id"),
    _reference("study_id", "studies.study_id"),
    sa.Column("study", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("parameters", sa.BigInteger, nullable=False),
    sa.Column("fleet_mean_ms", FLOAT),
    sa.Column("fleet_mean_low_ms", FLOAT),
    sa.Column("fleet_mean_high_ms", FLOAT),
    sa.Column("fleet_p95_ms", FLOAT),
    sa.Column("ucb_ms", FLOAT),
    sa.Column("worst_cluster_ms", FLOAT),
    sa.Column("worst_cluster", sa.Integer, nullable=False),
    sa.Column("kept_importance", FLOAT),
    sa.Column("feasible", sa.Boolean, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("channels", JSON, nullable=False),
    sa.Column("value_1", FLOAT),
    sa.Column("value_2", FLOAT),
    sa.Column("value_3", FLOAT),
    sa.Column("accuracy", FLOAT),
    sa.UniqueConstraint("study_id", "number", name="trials_number"),
)

trial_channels = sa.Table(
    "trial_channels",
    metadata,
    _reference("trial_id", "trials.trial_id", primary_key=True),
    sa.Column("width_group", sa.Text, primary_key=True),
    sa.Column("channels", sa.BigInteger, nullable=False),
)

trial_clusters = sa.Table(
    "trial_clusters",
    metadata,
    _reference("trial_id", "trials.trial_id", primary_key=True),
    sa.Column("cluster", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("latency_ms", FLOAT),
    sa.Column("latency_low_ms", FLOAT),
    sa.Column("latency_high_ms", FLOAT),
)

verifications = sa.Table(
    "verifications",
    metadata,
    _reference("study_id", "studies.study_id", primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("cluster", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("predicted_ms", FLOAT),
    sa.Column("predicted_low_ms", FLOAT),
    sa.Column("predicted_high_ms", FLOAT),
    sa.Column("measured_ms", FLOAT),
    sa.Column("measured_low_ms", FLOAT),
    sa.Column("measured_high_ms", FLOAT),
    sa.Column("devices", sa.BigInteger, nullable=False),
    sa.Column("holds", sa.Boolean, nullable=False),
    sa.Column("trial_holds", sa.Boolean, nullable=False),
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

accuracies = sa.Table(
    "accuracies",
    metadata,
    # PostgreSQL cannot index texts as long as the channels of a deep network
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("judged_on", sa.Text, nullable=False),
    sa.Column("channels", sa.Text, nullable=False),
    sa.Column("accuracy", FLOAT, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

study_networks = sa.Table(
    "study_networks",
    metadata,
    _reference("study_id", "studies.study_id", primary_key=True),
    sa.Column("networks", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cluster", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("latency_ms", FLOAT),
    sa.Column("latency_low_ms", FLOAT),
    sa.Column("latency_high_ms", FLOAT),
    sa.Column("one_for_all_ms", FLOAT),
    sa.Column("cost", FLOAT),
    sa.Column("advised", sa.Boolean, nullable=False),
)

epochs = sa.Table(
    "epochs",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("checkpoint", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("train_loss", FLOAT),
    sa.Column("validation_loss", FLOAT),
    sa.Column("accuracy", FLOAT),
    sa.Column("lr", FLOAT, nullable=False),
    sa.Column("images_per_second", FLOAT, nullable=False),
    sa.Column("seconds", FLOAT, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

compression_steps = sa.Table(
    "compression_steps",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("checkpoint", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("study", sa.Text, nullable=False),
    sa.Column("trial", sa.BigInteger, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("predicted_ms", FLOAT),
    sa.Column("predicted_low_ms", FLOAT),
    sa.Column("predicted_high_ms", FLOAT),
    sa.Column("accuracy_before", FLOAT),
    sa.Column("accuracy_pruned", FLOAT),
    sa.Column("accuracy_after", FLOAT),
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

level_plans = sa.Table(
    "level_plans",
    metadata,
    _key("level_plan_id"),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("architecture_digest", sa.Text, nullable=False),
    _reference("clustering_id", "clusterings.clustering_id"),
    sa.Column("target_ms", FLOAT, nullable=False),
    sa.Column("settings", JSON, nullable=False),
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

levels = sa.Table(
    "levels",
    metadata,
    _reference("level_plan_id", "level_plans.level_plan_id", primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("channels", sa.Text, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("parameters", sa.BigInteger, nullable=False),
    sa.Column("kept_importance", FLOAT),
    sa.Column("accuracy", FLOAT),
)

operating_points = sa.Table(
    "operating_points",
    metadata,
    _reference("level_plan_id", "level_plans.level_plan_id", primary_key=True),
    sa.Column("cluster", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("clock", FLOAT, primary_key=True, autoincrement=False),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("latency_ms", FLOAT),
    sa.Column("latency_low_ms", FLOAT),
    sa.Column("latency_high_ms", FLOAT),
    sa.Column("chosen", sa.Boolean, nullable=False),
)

portfolios = sa.Table(
    "portfolios",
    metadata,
    _key("portfolio_id"),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("architecture_digest", sa.Text, nullable=False),
    sa.Column("clustering_id", KEY, sa.ForeignKey("clusterings.clustering_id")),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("bundle", sa.Text, nullable=False),
    sa.Column("settings", JSON, nullable=False),
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

variants = sa.Table(
    "variants",
    metadata,
    _reference("portfolio_id", "portfolios.portfolio_id", primary_key=True),
    sa.Column("variant", sa.Text, primary_key=True),
    sa.Column("channels", sa.Text, nullable=False),
    sa.Column("parameters", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("kept_importance", FLOAT),
    sa.Column("accuracy", FLOAT),
    sa.Column("fleet_mean_ms", FLOAT),
    sa.Column("fleet_mean_low_ms", FLOAT),
    sa.Column("fleet_mean_high_ms", FLOAT),
    sa.Column("measured_here_ms", FLOAT),
    sa.Column("provenance", JSON, nullable=False),
)

variant_clusters = sa.Table(
    "variant_clusters",
    metadata,
    sa.Column("portfolio_id", KEY, primary_key=True, autoincrement=False),
    sa.Column("variant", sa.Text, primary_key=True),
    sa.Column("cluster", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("latency_ms", FLOAT),
    sa.Column("latency_low_ms", FLOAT),
    sa.Column("latency_high_ms", FLOAT),
    sa.ForeignKeyConstraint(
        ["portfolio_id", "variant"], ["variants.portfolio_id", "variants.variant"]
    ),
)

"""The tables. A fresh database is made from them; `migrations/` brings older ones to them."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import SchemaItem

from hdap.fleet_data.records import (
    ClusteringRecord,
    ClusterRecord,
    CompressionStepRecord,
    EpochRecord,
    HeldOutRecord,
    ImportanceRecord,
    LearningRecord,
    LevelPlanRecord,
    LevelRecord,
    ModelRecord,
    NetworkRecord,
    OperatingPointRecord,
    PortfolioRecord,
    StudyRecord,
    SurrogateRecord,
    VariantClusterRecord,
    VariantRecord,
    VerificationRecord,
)
from hdap.fleet_data.store.mapper import Document, Number, UtcDateTime, record_table
from hdap.fleet_data.telemetry import CONTEXT

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite's rowid must say INTEGER

metadata = sa.MetaData()


def _key(name: str) -> "sa.Column[int]":
    return sa.Column(name, KEY, primary_key=True)


def _reference(
    name: str, target: str, *, primary_key: bool = False, nullable: bool = False
) -> "sa.Column[int]":
    foreign = sa.ForeignKey(target)
    return sa.Column(name, KEY, foreign, nullable=nullable, primary_key=primary_key)


def _table(name: str, record: type[Any], *items: SchemaItem, **options: Any) -> sa.Table:
    return record_table(name, metadata, record, *items, **options)


models = _table(
    "models",
    ModelRecord,
    sa.Column("trials_view", sa.Text, unique=True),
    sa.Column("architecture", sa.Text, nullable=False),
    keys=("model",),
)

importances = _table(
    "importances",
    ImportanceRecord,
    _key("importance_id"),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

devices = sa.Table(
    "devices",
    metadata,
    _key("device_key"),
    sa.Column("device_id", sa.Text, nullable=False, unique=True),
    sa.Column("weight", sa.Double, nullable=False),
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

software = sa.Table(
    "software",
    metadata,
    _key("software_key"),
    # what is known of the columns below, in one text: no two NULLs are equal in SQL
    sa.Column("software", sa.Text, nullable=False, unique=True),
    sa.Column("precision", sa.Text),
    sa.Column("threads", sa.BigInteger),
    sa.Column("firmware", sa.Text),
)

ingests = sa.Table(
    "ingests",
    metadata,
    _key("ingest_id"),
    sa.Column("source", sa.Text, nullable=False),
    # what changes when the source is written anew; NULL: nobody asked
    sa.Column("source_version", sa.Text),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("rows_read", sa.BigInteger, nullable=False),
    sa.Column("rows_added", sa.BigInteger, nullable=False),
    sa.Column("rows_known", sa.BigInteger, nullable=False),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False),
    # of the rows that count (`IngestContent`), NULL: to be read from them
    *(sa.Column(name, sa.BigInteger) for name in ("content_rows", "content_low", "content_high")),
)

unit_suspicions = sa.Table(
    "unit_suspicions",
    metadata,
    _key("suspicion_id"),
    _reference("device_key", "devices.device_key"),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("unit_ms", sa.Double, nullable=False),
    sa.Column("factor", sa.Double, nullable=False),
    sa.Column("typical_ms", sa.Double, nullable=False),
    sa.Column("architecture", sa.Boolean, nullable=False),
)

all_measurements = sa.Table(
    "all_measurements",
    metadata,
    _key("measurement_id"),
    _reference("device_key", "devices.device_key"),
    _reference("configuration_key", "configurations.configuration_key"),
    _reference("ingest_id", "ingests.ingest_id"),
    sa.Column("measured_at_us", sa.BigInteger),
    sa.Column("latency_ms", sa.Double, nullable=False),
    sa.Column("latency_p95_ms", sa.Double),
    sa.Column("runs", sa.BigInteger),
    sa.Column("batch_size", sa.BigInteger),
    _reference("runtime_key", "runtimes.runtime_key", nullable=True),
    _reference("software_key", "software.software_key", nullable=True),
    # of a row that stands for several: how many, and the spread of their log latencies
    sa.Column("reduced_rows", sa.BigInteger),
    sa.Column("reduced_spread", sa.Double),
    *(sa.Column(name, sa.Double) for name in CONTEXT),
    sa.Column("extra", sa.Text),
    sa.Column("row_hash", sa.BigInteger, nullable=False),
    # milliseconds of the unit that somebody said it is in; NULL: nobody did, so 1
    sa.Column("unit_ms", sa.Double),
    sa.Column("unit_sure", sa.Boolean),
    # of an old history: how many rows this one stands for; NULL: itself alone
    sa.Column("stands_for", sa.BigInteger),
    _reference("suspicion_id", "unit_suspicions.suspicion_id", nullable=True),
    sa.Index("measurements_row_hash", "row_hash", unique=True),
)
sa.Index(
    "measurements_set_aside",
    all_measurements.c.suspicion_id,
    sqlite_where=all_measurements.c.suspicion_id.is_not(None),
    postgresql_where=all_measurements.c.suspicion_id.is_not(None),
)

pruned_histories = sa.Table(
    "pruned_histories",
    metadata,
    _key("pruned_history_id"),
    sa.Column("pruned_at", UtcDateTime, nullable=False),
    # rows measured before this moment were made fewer
    sa.Column("before_us", sa.BigInteger, nullable=False),
    sa.Column("rows_removed", sa.BigInteger, nullable=False),
    sa.Column("rows_kept", sa.BigInteger, nullable=False),
)

# who measured what is counted, and rows of some devices are found, without reading any other row
sa.Index(
    "measurements_of_configuration",
    all_measurements.c.configuration_key,
    all_measurements.c.device_key,
    sqlite_where=all_measurements.c.suspicion_id.is_(None),
    postgresql_where=all_measurements.c.suspicion_id.is_(None),
)

_OF_READING = ("unit_ms", "unit_sure", "suspicion_id")

measurements = sa.Table(
    "measurements",
    sa.MetaData(),  # a view: the rows that are not set aside
    *(sa.Column(c.name, c.type) for c in all_measurements.columns if c.name not in _OF_READING),
)

clusterings = _table(
    "clusterings",
    ClusteringRecord,
    _key("clustering_id"),
    renamed={"id": "clustering_id"},
    elsewhere=(
        "device_ids",
        "cluster",
        "outlier",
        "representative",
        "factor",
        "factor_sd",
        "fingerprint",
        "software",
        "software_before",
        "software_since",
        "clusters",
    ),
)

clusters = _table(
    "clusters",
    ClusterRecord,
    _reference("clustering_id", "clusterings.clustering_id", primary_key=True),
    keys=("cluster",),
)

cluster_devices = sa.Table(
    "cluster_devices",
    metadata,
    _reference("clustering_id", "clusterings.clustering_id", primary_key=True),
    sa.Column("device_id", sa.Text, primary_key=True),
    sa.Column("cluster", sa.BigInteger, nullable=False),
    sa.Column("outlier", sa.Boolean, nullable=False),
    sa.Column("representative", sa.Boolean, nullable=False),
    sa.Column("factor", Number),
    sa.Column("factor_sd", Number),
    sa.Column("software", sa.Text),
    sa.Column("software_before", sa.Text),
    sa.Column("software_since_us", sa.BigInteger),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
)

surrogates = _table(
    "surrogates",
    SurrogateRecord,
    _key("surrogate_id"),
    _reference("clustering_id", "clusterings.clustering_id"),
    sa.UniqueConstraint("clustering_id", "model", "kind", "cluster", name="surrogates_of_cluster"),
    renamed={"id": "surrogate_id", "rows": "measured_rows"},
)

held_out = _table(
    "held_out",
    HeldOutRecord,
    _key("held_out_id"),
    _reference("clustering_id", "clusterings.clustering_id"),
    sa.Index("held_out_of_fit", "clustering_id", "model", "kind"),
    renamed={"rows": "measured_rows"},
)

learning_curves = _table(
    "learning_curves",
    LearningRecord,
    _key("learning_curve_id"),
    _reference("clustering_id", "clusterings.clustering_id"),
    sa.Index("learning_curves_of_fit", "clustering_id", "model", "kind"),
    renamed={"rows": "measured_rows"},
)

studies = _table(
    "studies",
    StudyRecord,
    _key("study_id"),
    sa.Column("study", sa.Text, nullable=False, unique=True),
    _reference("clustering_id", "clusterings.clustering_id"),
    renamed={"id": "study_id", "name": "study"},
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
    sa.Column("fleet_mean_ms", Number),
    sa.Column("fleet_mean_low_ms", Number),
    sa.Column("fleet_mean_high_ms", Number),
    sa.Column("fleet_p95_ms", Number),
    sa.Column("ucb_ms", Number),
    sa.Column("worst_cluster_ms", Number),
    sa.Column("worst_cluster", sa.BigInteger, nullable=False),
    sa.Column("kept_importance", Number),
    sa.Column("feasible", sa.Boolean, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("channels", Document, nullable=False),
    sa.Column("value_1", Number),
    sa.Column("value_2", Number),
    sa.Column("value_3", Number),
    sa.Column("accuracy", Number),
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
    sa.Column("cluster", sa.BigInteger, primary_key=True),
    sa.Column("latency_ms", Number),
    sa.Column("latency_low_ms", Number),
    sa.Column("latency_high_ms", Number),
)

verifications = _table(
    "verifications",
    VerificationRecord,
    _reference("study_id", "studies.study_id", primary_key=True),
    keys=("number", "cluster"),
)

accuracies = sa.Table(
    "accuracies",
    metadata,
    # PostgreSQL cannot index texts as long as the channels of a deep network
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("judged_on", sa.Text, nullable=False),
    sa.Column("channels", sa.Text, nullable=False),
    sa.Column("accuracy", sa.Double, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

study_networks = _table(
    "study_networks",
    NetworkRecord,
    _reference("study_id", "studies.study_id", primary_key=True),
    keys=("networks", "cluster"),
)

assignments = sa.Table(
    "assignments",
    metadata,
    _reference("study_id", "studies.study_id", primary_key=True),
    sa.Column("device_id", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("number_before", sa.BigInteger, nullable=False),
    sa.Column("cluster", sa.BigInteger, nullable=False),
    sa.Column("factor", sa.Double, nullable=False),
    sa.Column("factor_sd", sa.Double, nullable=False),
    sa.Column("latency_ms", sa.Double, nullable=False),
    sa.Column("probability_in_time", sa.Double, nullable=False),
    sa.Column("in_time", sa.Boolean, nullable=False),
    sa.Column("assigned_at", UtcDateTime, nullable=False),
)

epochs = _table("epochs", EpochRecord, keys=("run", "epoch"))

compression_steps = _table("compression_steps", CompressionStepRecord, keys=("run", "step"))

level_plans = _table(
    "level_plans",
    LevelPlanRecord,
    _key("level_plan_id"),
    _reference("clustering_id", "clusterings.clustering_id"),
    renamed={"id": "level_plan_id"},
    elsewhere=("levels", "points"),
)

levels = _table(
    "levels",
    LevelRecord,
    _reference("level_plan_id", "level_plans.level_plan_id", primary_key=True),
    keys=("level",),
)

operating_points = _table(
    "operating_points",
    OperatingPointRecord,
    _reference("level_plan_id", "level_plans.level_plan_id", primary_key=True),
    keys=("cluster", "clock", "level"),
)

portfolios = _table(
    "portfolios",
    PortfolioRecord,
    _key("portfolio_id"),
    _reference("clustering_id", "clusterings.clustering_id", nullable=True),
    renamed={"id": "portfolio_id"},
    elsewhere=("variants",),
)

variants = _table(
    "variants",
    VariantRecord,
    _reference("portfolio_id", "portfolios.portfolio_id", primary_key=True),
    keys=("variant",),
    elsewhere=("clusters",),
)

variant_clusters = _table(
    "variant_clusters",
    VariantClusterRecord,
    sa.Column("portfolio_id", KEY, primary_key=True, autoincrement=False),
    sa.Column("variant", sa.Text, primary_key=True),
    sa.ForeignKeyConstraint(
        ["portfolio_id", "variant"], ["variants.portfolio_id", "variants.variant"]
    ),
    keys=("cluster",),
    elsewhere=("measured_ms", "devices"),
)

variant_latencies = record_table(
    "variant_latencies",
    sa.MetaData(),  # a view: it is not among the tables that are made
    VariantClusterRecord,
    sa.Column("portfolio_id", KEY),
    sa.Column("variant", sa.Text),
    renamed={"devices": "measured_devices"},
)

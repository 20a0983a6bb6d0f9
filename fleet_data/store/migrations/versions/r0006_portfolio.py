"""Portfolios: variants of one model, and what each takes on each cluster.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
FLOAT: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Create the tables, and the view that sets what is measured beside what was predicted."""
    op.create_table(
        "portfolios",
        sa.Column("portfolio_id", KEY, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("architecture_digest", sa.Text(), nullable=False),
        sa.Column("clustering_id", KEY, nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["clustering_id"], ["clusterings.clustering_id"]),
        sa.PrimaryKeyConstraint("portfolio_id"),
    )
    op.create_table(
        "variants",
        sa.Column("portfolio_id", KEY, nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=False),
        sa.Column("kept_importance", FLOAT, nullable=True),
        sa.Column("accuracy", FLOAT, nullable=True),
        sa.Column("fleet_mean_ms", FLOAT, nullable=True),
        sa.Column("fleet_mean_low_ms", FLOAT, nullable=True),
        sa.Column("fleet_mean_high_ms", FLOAT, nullable=True),
        sa.Column("measured_here_ms", FLOAT, nullable=True),
        sa.Column("provenance", JSON, nullable=False),
        sa.ForeignKeyConstraint(["portfolio_id"], ["portfolios.portfolio_id"]),
        sa.PrimaryKeyConstraint("portfolio_id", "variant"),
    )
    op.create_table(
        "variant_clusters",
        sa.Column("portfolio_id", KEY, nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("latency_ms", FLOAT, nullable=True),
        sa.Column("latency_low_ms", FLOAT, nullable=True),
        sa.Column("latency_high_ms", FLOAT, nullable=True),
        sa.ForeignKeyConstraint(
            ["portfolio_id", "variant"], ["variants.portfolio_id", "variants.variant"]
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "variant", "cluster"),
    )
    op.execute(f"CREATE VIEW variant_latencies AS {VARIANT_LATENCIES}")


# A device's latency over its factor is what the typical device of its cluster takes. Each
# configuration that is a variant is summed up once, however many portfolios it is in.
_BY_DEVICE = """
    SELECT w.clustering_id, w.model, w.channels, k.cluster, k.device_id,
        avg(m.latency_ms / coalesce(k.factor, 1)) AS typical_ms
    FROM (
        SELECT DISTINCT p.clustering_id, c.model, c.channels, c.configuration_key
        FROM portfolios p
        JOIN variants v ON v.portfolio_id = p.portfolio_id
        JOIN configurations c ON c.model = p.model AND c.channels = v.channels) w
    JOIN measurements m ON m.configuration_key = w.configuration_key
    JOIN devices d ON d.device_key = m.device_key
    JOIN cluster_devices k ON k.clustering_id = w.clustering_id AND k.device_id = d.device_id
    WHERE coalesce(m.batch_size, 1) = 1
    GROUP BY w.clustering_id, w.model, w.channels, k.cluster, k.device_id"""

_BY_CLUSTER = f"""
    SELECT clustering_id, model, channels, cluster,
        avg(typical_ms) AS measured_ms, count(*) AS devices
    FROM ({_BY_DEVICE}) by_device GROUP BY clustering_id, model, channels, cluster"""

VARIANT_LATENCIES = f"""
    SELECT p.portfolio_id, p.model, k.variant, k.cluster,
        k.latency_ms AS predicted_ms, k.latency_low_ms AS predicted_low_ms,
        k.latency_high_ms AS predicted_high_ms,
        s.measured_ms, coalesce(s.devices, 0) AS measured_devices
    FROM variant_clusters k
    JOIN variants v ON v.portfolio_id = k.portfolio_id AND v.variant = k.variant
    JOIN portfolios p ON p.portfolio_id = k.portfolio_id
    LEFT JOIN ({_BY_CLUSTER}) s
        ON s.clustering_id = p.clustering_id AND s.model = p.model AND s.channels = v.channels
        AND s.cluster = k.cluster"""

"""Elastic networks: levels and operating points.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
FLOAT: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Plans of levels, their configurations, and which level serves which cluster and clock."""
    op.create_table(
        "level_plans",
        sa.Column("level_plan_id", KEY, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("architecture_digest", sa.Text(), nullable=False),
        sa.Column("clustering_id", KEY, nullable=False),
        sa.Column("target_ms", FLOAT, nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["clustering_id"], ["clusterings.clustering_id"]),
        sa.PrimaryKeyConstraint("level_plan_id"),
    )
    op.create_table(
        "levels",
        sa.Column("level_plan_id", KEY, nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("kept_importance", FLOAT, nullable=True),
        sa.Column("accuracy", FLOAT, nullable=True),
        sa.ForeignKeyConstraint(["level_plan_id"], ["level_plans.level_plan_id"]),
        sa.PrimaryKeyConstraint("level_plan_id", "level"),
    )
    op.create_table(
        "operating_points",
        sa.Column("level_plan_id", KEY, nullable=False),
        sa.Column("cluster", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("clock", FLOAT, autoincrement=False, nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("latency_ms", FLOAT, nullable=True),
        sa.Column("latency_low_ms", FLOAT, nullable=True),
        sa.Column("latency_high_ms", FLOAT, nullable=True),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["level_plan_id"], ["level_plans.level_plan_id"]),
        sa.PrimaryKeyConstraint("level_plan_id", "cluster", "clock", "level"),
    )

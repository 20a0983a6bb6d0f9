"""Verifications: what was promised of a trial and what was measured.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLOAT: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "verifications",
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cluster", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("predicted_ms", FLOAT, nullable=True),
        sa.Column("predicted_low_ms", FLOAT, nullable=True),
        sa.Column("predicted_high_ms", FLOAT, nullable=True),
        sa.Column("measured_ms", FLOAT, nullable=True),
        sa.Column("measured_low_ms", FLOAT, nullable=True),
        sa.Column("measured_high_ms", FLOAT, nullable=True),
        sa.Column("devices", sa.BigInteger(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("trial_holds", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.study_id"]),
        sa.PrimaryKeyConstraint("study_id", "number", "cluster"),
    )

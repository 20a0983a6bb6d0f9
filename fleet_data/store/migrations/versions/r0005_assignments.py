"""Which device runs which trial of a study, and how well a device's own speed is known.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column; clusterings of before know no doubt (NULL)."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("cluster_devices", sa.Column("factor_sd", sa.Double))
    op.create_table(
        "assignments",
        sa.Column("study_id", key, sa.ForeignKey("studies.study_id"), primary_key=True),
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("number_before", sa.BigInteger, nullable=False),
        sa.Column("cluster", sa.BigInteger, nullable=False),
        sa.Column("factor", sa.Double, nullable=False),
        sa.Column("factor_sd", sa.Double, nullable=False),
        sa.Column("latency_ms", sa.Double, nullable=False),
        sa.Column("probability_in_time", sa.Double, nullable=False),
        sa.Column("in_time", sa.Boolean, nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
    )

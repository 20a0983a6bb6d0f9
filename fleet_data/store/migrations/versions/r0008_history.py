"""Which version of a file was ingested, and how much of an old history a row stands for.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table; of ingests before nobody knows which version they read."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("ingests", sa.Column("source_version", sa.Text))
    op.add_column("all_measurements", sa.Column("stands_for", sa.BigInteger))
    op.create_table(
        "pruned_histories",
        sa.Column("pruned_history_id", key, primary_key=True),
        sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before_us", sa.BigInteger, nullable=False),
        sa.Column("rows_removed", sa.BigInteger, nullable=False),
        sa.Column("rows_kept", sa.BigInteger, nullable=False),
    )

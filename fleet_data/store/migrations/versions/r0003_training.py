"""Training: epochs, and the steps of a compression.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FLOAT: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "epochs",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("train_loss", FLOAT, nullable=True),
        sa.Column("validation_loss", FLOAT, nullable=True),
        sa.Column("accuracy", FLOAT, nullable=True),
        sa.Column("lr", FLOAT, nullable=False),
        sa.Column("images_per_second", FLOAT, nullable=False),
        sa.Column("seconds", FLOAT, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run", "epoch"),
    )
    op.create_table(
        "compression_steps",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("trial", sa.BigInteger(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=False),
        sa.Column("predicted_ms", FLOAT, nullable=True),
        sa.Column("predicted_low_ms", FLOAT, nullable=True),
        sa.Column("predicted_high_ms", FLOAT, nullable=True),
        sa.Column("accuracy_before", FLOAT, nullable=True),
        sa.Column("accuracy_pruned", FLOAT, nullable=True),
        sa.Column("accuracy_after", FLOAT, nullable=True),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run", "step"),
    )

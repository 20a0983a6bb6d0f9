"""What a fit showed of itself: held-out predictions, the learning curve, the noise of a cluster.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and the column; of surrogates of before nothing was kept."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("surrogates", sa.Column("noise_floor", sa.Double))
    numbers = ("measured_ms", "predicted_ms", "low_ms", "high_ms")
    op.create_table(
        "held_out",
        sa.Column("held_out_id", key, primary_key=True),
        *_of_fit(key),
        sa.Column("cluster", sa.BigInteger, nullable=False),
        sa.Column("flops", sa.BigInteger, nullable=False),
        sa.Column("measured_rows", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Double) for name in numbers),
        sa.Index("held_out_of_fit", "clustering_id", "model", "kind"),
    )
    op.create_table(
        "learning_curves",
        sa.Column("learning_curve_id", key, primary_key=True),
        *_of_fit(key),
        sa.Column("measured_rows", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Double),
        sa.Index("learning_curves_of_fit", "clustering_id", "model", "kind"),
    )


def _of_fit(key: "sa.types.TypeEngine[int]") -> "tuple[sa.Column[int] | sa.Column[str], ...]":
    return (
        sa.Column("clustering_id", key, sa.ForeignKey("clusterings.clustering_id"), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
    )

"""Large fleets: rows that stand for several, an index of who measured what, contents of ingests.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the index; every row of before stands for itself."""
    op.add_column("all_measurements", sa.Column("reduced_rows", sa.BigInteger))
    op.add_column("all_measurements", sa.Column("reduced_spread", sa.Double))
    for name in ("content_rows", "content_low", "content_high"):
        op.add_column("ingests", sa.Column(name, sa.BigInteger))
    op.execute(
        "CREATE INDEX measurements_of_configuration ON all_measurements "
        "(configuration_key, device_key) WHERE suspicion_id IS NULL"
    )

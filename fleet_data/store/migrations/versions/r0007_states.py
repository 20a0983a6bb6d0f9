"""What a device ran before what it runs now, since when, and how long it had run without rest.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; clusterings of before did not look for changes."""
    op.add_column("cluster_devices", sa.Column("software_before", sa.Text))
    op.add_column("cluster_devices", sa.Column("software_since_us", sa.BigInteger))
    op.add_column("all_measurements", sa.Column("sustained_s", sa.Double))

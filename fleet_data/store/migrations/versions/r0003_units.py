"""Units: what somebody said of a row's, and rows that are set aside for theirs.

`measurements` becomes the view of the rows that count, over the table `all_measurements`.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename the table and add the columns; views are made anew by `migrate`."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "unit_suspicions",
        sa.Column("suspicion_id", key, primary_key=True),
        sa.Column("device_key", key, sa.ForeignKey("devices.device_key"), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("unit_ms", sa.Double, nullable=False),
        sa.Column("factor", sa.Double, nullable=False),
        sa.Column("typical_ms", sa.Double, nullable=False),
        sa.Column("architecture", sa.Boolean, nullable=False),
    )
    op.rename_table("measurements", "all_measurements")
    # as SQL: SQLite adds a column with a reference so, and alembic would copy the table
    sqlite = op.get_bind().dialect.name == "sqlite"
    types = {"double": "DOUBLE", "integer": "INTEGER"}
    if not sqlite:
        types = {"double": "DOUBLE PRECISION", "integer": "BIGINT"}
    for column in (
        "unit_ms {double}",
        "unit_sure BOOLEAN",
        "suspicion_id {integer} REFERENCES unit_suspicions (suspicion_id)",
    ):
        op.execute(f"ALTER TABLE all_measurements ADD COLUMN {column.format(**types)}")
    op.execute(
        "CREATE INDEX measurements_set_aside ON all_measurements (suspicion_id) "
        "WHERE suspicion_id IS NOT NULL"
    )

"""What stands in accuracy's place where a training judged by a function of the user's own.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; trainings of before were judged by accuracy."""
    name = sa.Column("metric", sa.Text, nullable=False, server_default="accuracy")
    op.add_column("epochs", name)

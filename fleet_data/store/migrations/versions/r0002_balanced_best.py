"""The best trial of a study with several objectives is the balanced one, in SQL too.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

from hdap.fleet_data.store.views import create_views

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Views hold no data: they are made anew."""
    create_views(op.get_bind())

"""The best trial of a study with several objectives is the balanced one, in SQL too.

Revision ID: 0002
Revises: 0001
"""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Views hold no data: `migrate` makes them anew after all revisions."""

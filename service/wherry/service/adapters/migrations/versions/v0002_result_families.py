"""Results know their family and their circumstances, so that a miss can be explained. Older rows have neither."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Two nullable columns and an index: no row is rewritten."""
    op.add_column("results", sa.Column("family", sa.Text))
    op.add_column("results", sa.Column("circumstances", sa.Text))
    op.create_index("ix_results_family_created_at", "results", ["family", "created_at"])

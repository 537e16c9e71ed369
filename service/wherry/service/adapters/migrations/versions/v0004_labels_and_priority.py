"""Labels and priority of runs: what the submitter sorts runs by, and asks of the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Older runs have no labels and no priority."""
    op.add_column("runs", sa.Column("labels", sa.Text, nullable=False, server_default="{}"))
    op.add_column("runs", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))

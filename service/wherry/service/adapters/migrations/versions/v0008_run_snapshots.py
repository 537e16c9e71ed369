"""Runs keep the project that they were submitted with."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Rows that are there keep null: their projects are not known."""
    op.add_column("runs", sa.Column("snapshot", sa.Text))

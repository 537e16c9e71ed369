"""Blobs that others put into the bucket: held, with a SHA-256 that nobody knows yet."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. PostgreSQL changes its catalogue only; SQLite, which cannot, copies the table."""
    with op.batch_alter_table("blobs") as table:
        table.alter_column("sha256", existing_type=sa.Text, nullable=True)

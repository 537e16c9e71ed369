"""The log of a result: what its command wrote, which a hit shows again."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of older results no output is kept."""
    op.add_column("results", sa.Column("log", sa.Text))

"""What the execution behind a result used of its machine."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of older results nothing is known."""
    op.add_column("results", sa.Column("usage", sa.Text))

"""Which service drives a run, and whether somebody asked to stop it: what a service needs to know after a restart."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Runs that are older belong to whoever finds them."""
    op.add_column("runs", sa.Column("owner", sa.Text, nullable=False, server_default=""))
    op.add_column("runs", sa.Column("stop_requested", sa.Boolean, nullable=False, server_default=sa.false()))

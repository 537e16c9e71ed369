"""What names of images stood for when a run was submitted: it keeps to that after a restart."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Names of runs that are older are resolved again, as before."""
    op.add_column("submissions", sa.Column("images", sa.Text))

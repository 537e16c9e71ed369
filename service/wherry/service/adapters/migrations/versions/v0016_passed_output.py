"""Output of executions, passed on to the services that wait for them, and which leases have such."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Nobody watches a lease that stands now."""
    op.add_column("leases", sa.Column("watched", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "passed_output",
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Text),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token", "number", name="pk_passed_output"),
    )
    op.create_index("ix_passed_output_written_at", "passed_output", ["written_at"])

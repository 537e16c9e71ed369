"""Results can be kept for good, and what a run was submitted with is kept, so that it can be submitted again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Two new tables: no row is rewritten."""
    op.create_table(
        "result_pins",
        sa.Column("key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_result_pins"),
    )
    op.create_table(
        "submissions",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_submissions"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_submissions_run_id", ondelete="CASCADE"),
    )

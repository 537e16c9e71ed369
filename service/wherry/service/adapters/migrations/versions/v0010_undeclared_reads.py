"""Several results under one strict key, told apart by what the stage read without declaring it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of the results so far nobody looked what they read. SQLite copies the table."""
    with op.batch_alter_table("results") as table:
        table.add_column(sa.Column("undeclared", sa.Text))
        table.add_column(sa.Column("reads", sa.Text, nullable=False, server_default="-"))
        table.drop_constraint("pk_results", type_="primary")
        table.create_primary_key("pk_results", ["key", "reads"])
    with op.batch_alter_table("results") as table:
        table.alter_column("reads", existing_type=sa.Text, existing_nullable=False, server_default=None)

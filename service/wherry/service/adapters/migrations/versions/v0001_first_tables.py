"""The first tables: blobs, runs with stages and events, results."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATES = "'queued', 'preparing', 'running', 'succeeded', 'failed', 'cancelled', 'skipped', 'lost'"


def upgrade() -> None:
    """Apply."""
    _create_blobs()
    _create_runs()
    _create_run_stages()
    _create_events()
    _create_results()


def _create_blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("hash", name="pk_blobs"),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("rev", sa.Text, nullable=False),
        sa.Column("dirty", sa.Boolean, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("compute_s", sa.Float, nullable=False),
        sa.Column("saved_s", sa.Float, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("write_backs", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("user", "idempotency_key", name="uq_runs_user_idempotency_key"),
        sa.CheckConstraint(f"state IN ({_STATES})", name="ck_runs_state"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_project_name", "runs", ["project", "name"])
    op.create_index("ix_runs_name", "runs", ["name"])
    op.create_index("ix_runs_state", "runs", ["state"])


def _create_run_stages() -> None:
    op.create_table(
        "run_stages",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_run_stages"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_stages_run_id", ondelete="CASCADE"),
        sa.CheckConstraint(f"state IN ({_STATES})", name="ck_run_stages_state"),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sequence", name="pk_events"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_events_run_id", ondelete="CASCADE"),
    )


def _create_results() -> None:
    op.create_table(
        "results",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("wall_s", sa.Float, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_results"),
    )

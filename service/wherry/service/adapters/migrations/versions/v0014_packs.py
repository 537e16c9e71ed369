"""Packs of small files of projects, and what is looked for in them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. What was uploaded before keeps its objects."""
    op.create_table(
        "packs",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_packs"),
    )
    op.create_table(
        "packed_blobs",
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("pack", sa.Text, nullable=False),
        sa.Column("offset_bytes", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("hash", name="pk_packed_blobs"),
        sa.ForeignKeyConstraint(["pack"], ["packs.name"], name="fk_packed_blobs_pack", ondelete="CASCADE"),
    )
    op.create_index("ix_packed_blobs_pack", "packed_blobs", ["pack"])

"""The tables, as SQLAlchemy Core sees them: what the newest migration has made, no more.

Timestamps are UTC. JSON stands in plain text columns: it is read whole and never searched, and both databases
give it back byte for byte.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

from wherry.service.domain.states import State


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no time zone, so it is taken off and put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn into UTC; refuse a moment that does not say its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be kept")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_STATES = ", ".join(f"'{state}'" for state in State)

metadata = MetaData()

blobs = Table(
    "blobs",
    metadata,
    Column("hash", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Null: nobody but a laptop has seen the content.
    Column("sha256", Text),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant),
    PrimaryKeyConstraint("hash", name="pk_blobs"),
)

packs = Table(
    "packs",
    metadata,
    Column("name", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("name", name="pk_packs"),
)

packed_blobs = Table(
    "packed_blobs",
    metadata,
    Column("hash", Text, nullable=False),
    Column("pack", Text, nullable=False),
    Column("offset_bytes", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant),
    PrimaryKeyConstraint("hash", name="pk_packed_blobs"),
    ForeignKeyConstraint(["pack"], ["packs.name"], name="fk_packed_blobs_pack", ondelete="CASCADE"),
)
Index("ix_packed_blobs_pack", packed_blobs.c.pack)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, nullable=False, autoincrement=True),
    Column("idempotency_key", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("rev", Text, nullable=False),
    Column("dirty", Boolean, nullable=False),
    Column("message", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("compute_s", Float, nullable=False),
    Column("saved_s", Float, nullable=False),
    Column("error", Text),
    Column("write_backs", Text, nullable=False),
    # Null in rows that were written before migration 0008.
    Column("snapshot", Text),
    Column("labels", Text, nullable=False, server_default="{}"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("owner", Text, nullable=False, server_default=""),
    Column("stop_requested", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("id", name="pk_runs"),
    UniqueConstraint("user", "idempotency_key", name="uq_runs_user_idempotency_key"),
    CheckConstraint(f"state IN ({_STATES})", name="ck_runs_state"),
    # An id is never given twice, even after the newest run was deleted: logs and containers carry it.
    sqlite_autoincrement=True,
)
Index("ix_runs_project_name", runs.c.project, runs.c.name)
Index("ix_runs_name", runs.c.name)
Index("ix_runs_state", runs.c.state)

run_stages = Table(
    "run_stages",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("state", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "name", name="pk_run_stages"),
    ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_stages_run_id", ondelete="CASCADE"),
    CheckConstraint(f"state IN ({_STATES})", name="ck_run_stages_state"),
)

events = Table(
    "events",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "sequence", name="pk_events"),
    ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_events_run_id", ondelete="CASCADE"),
)

results = Table(
    "results",
    metadata,
    Column("key", Text, nullable=False),
    Column("entry", Text, nullable=False),
    # Text and no foreign key: a result outlives the run that made it.
    Column("run_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("wall_s", Float, nullable=False),
    Column("created_at", Instant, nullable=False),
    # Both are null in rows that were written before migration 0002.
    Column("family", Text),
    Column("circumstances", Text),
    # Null in rows that were written before migration 0005.
    Column("log", Text),
    # What was read without being declared, and its fingerprint. Null: nobody looked.
    Column("undeclared", Text),
    Column("reads", Text, nullable=False),
    # Null in rows that were written before migration 0013, and where nothing was counted.
    Column("usage", Text),
    PrimaryKeyConstraint("key", "reads", name="pk_results"),
)
Index("ix_results_family_created_at", results.c.family, results.c.created_at)

secrets = Table(
    "secrets",
    metadata,
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    # Nonce and ciphertext, in Base64.
    Column("sealed", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
    PrimaryKeyConstraint("project", "name", name="pk_secrets"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", Text, nullable=False),
    # SHA-256 of what its holder shows, in hexadecimal: 32 random bytes need no slower one.
    Column("hash", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("expires_at", Instant),
    PrimaryKeyConstraint("name", name="pk_tokens"),
    UniqueConstraint("hash", name="uq_tokens_hash"),
)

leases = Table(
    "leases",
    metadata,
    Column("key", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("owner", Text, nullable=False),
    # Text and no foreign key, as in results.
    Column("run_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    # Set when the execution has failed: nobody holds the lease then.
    Column("failure", Text),
    Column("files", Text, nullable=False),
    Column("watched", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("key", name="pk_leases"),
)
Index("ix_leases_expires_at", leases.c.expires_at)

# What holders of watched leases pass on. No foreign key: it is read after the lease is over.
passed_output = Table(
    "passed_output",
    metadata,
    Column("token", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("attempt", Text),
    Column("content", LargeBinary, nullable=False),
    Column("written_at", Instant, nullable=False),
    PrimaryKeyConstraint("token", "number", name="pk_passed_output"),
)
Index("ix_passed_output_written_at", passed_output.c.written_at)

# Beside the results, which are written anew whenever a stage is computed again.
result_pins = Table(
    "result_pins",
    metadata,
    Column("key", Text, nullable=False),
    PrimaryKeyConstraint("key", name="pk_result_pins"),
)

submissions = Table(
    "submissions",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("images", Text),
    PrimaryKeyConstraint("run_id", name="pk_submissions"),
    ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_submissions_run_id", ondelete="CASCADE"),
)

"""What Alembic executes: migrate over the connection that `database` passes in `config.attributes`.

The caller owns the transaction, so that a failed migration leaves nothing behind. No offline mode.
"""

from alembic import context

from wherry.service.adapters.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Alembic takes SQLite's DDL for non-transactional, which it is only in the driver's legacy mode.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

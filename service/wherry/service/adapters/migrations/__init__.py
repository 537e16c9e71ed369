"""Alembic migrations, forward only. `database` runs them; there is no alembic.ini."""

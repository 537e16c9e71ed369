"""One module a migration, numbered in order. Once released, a migration is never changed."""

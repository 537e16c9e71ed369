"""What DVC means: its files read, checked, keyed and written, without importing it."""

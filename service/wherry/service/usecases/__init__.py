"""One verb to a module: what the service does, over ports and rules."""

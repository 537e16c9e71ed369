"""Wiring: the only place that chooses adapters and puts the parts of the service together."""

"""Persistence: what of the state must survive a restart, and how it is restored."""

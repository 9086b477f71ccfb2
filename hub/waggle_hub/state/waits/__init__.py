"""Waits: the conditions that sessions wait for, and the index of those that a commit may affect."""

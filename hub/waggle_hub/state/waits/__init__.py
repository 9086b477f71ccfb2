"""Waits: the conditions that sessions wait for, and which of them a change affects."""

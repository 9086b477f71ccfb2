"""Locks: lock requests, the table that decides which are granted, and deadlock detection."""

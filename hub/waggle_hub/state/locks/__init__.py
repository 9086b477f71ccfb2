"""Locks: requests, their queues, and the deadlock check."""

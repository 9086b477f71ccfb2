"""Sockets, tasks and timers: one connection, the next one after a loss, and the futures of the callers."""

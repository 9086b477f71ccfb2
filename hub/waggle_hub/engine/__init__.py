"""The engine: clock -> machine -> journal -> fan-out, one command at a time.

``engine`` decides and releases. Its parts: ``rollback`` returns to what the journal has kept, ``expiry_timer`` expires
what is due, ``eviction`` makes room in a full hub, ``background`` runs backups and searches. ``environment`` gives the
time and random ids.
"""

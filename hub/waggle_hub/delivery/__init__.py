"""Delivery: events to the connections that follow them, encoded once, written once per connection and turn of the loop.

``fanout`` takes what the engine releases. ``feed`` is one interest with the cursors that follow it live, ``conflation``
one whose followers get the latest of each key only. ``catchup`` brings a cursor that is behind up to date from a
snapshot or the log, in the order of ``catchup_queue``. ``connection`` is the outbox of one agent, ``encoding`` makes
lines, ``frame`` the frames around them.
"""

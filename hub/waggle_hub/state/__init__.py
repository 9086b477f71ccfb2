"""The machine: pure, synchronous, deterministic. (state, command, now) -> (reply, events).

Nothing here reads a clock, draws a random number, awaits, logs or touches a socket: ``now`` and fresh ids are
arguments. The same commands at the same times give the same replies, events and state.
"""

"""The hub of Waggle: one process that owns the truth.

A frame's way: ``edge`` (bytes in) -> ``engine`` (one command at a time) -> ``state`` (the rules) -> ``journal``
(what must survive) -> ``delivery`` (who hears of it) -> ``edge`` (bytes out). ``app`` builds it all.
"""

"""The limits of the wire, and the default address of a hub: for the client, and as the defaults of the hub's settings.

A client checks a limit only where the hub could not answer, or where a file is checked before it is sent.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "DEFAULT_URL",
    "MAX_AGENT_CHARS",
    "MAX_KEY_CHARS",
    "MAX_MESSAGE_BYTES",
    "MAX_META_BYTES",
    "MAX_NESTING_LEVELS",
    "MAX_PAGE_ENTRIES",
    "MAX_STORED_OUTCOMES",
    "MAX_TTL_S",
    "MAX_TXN_STEPS",
    "MAX_VALUE_BYTES",
    "MAX_WAIT_S",
]

DEFAULT_URL: Final = "http://127.0.0.1:4483"
"""The address of a hub with default settings on this machine."""
MAX_KEY_CHARS: Final = 255
"""Characters of a key, a name, a channel or a pattern."""
MAX_AGENT_CHARS: Final = 100
"""Characters of an agent's name."""
MAX_MESSAGE_BYTES: Final = 16 * 2**20
"""Bytes of one message to the hub."""
MAX_VALUE_BYTES: Final = 11 * 2**20
"""Bytes of one encoded value: a message has room for it and the fields around it."""
MAX_META_BYTES: Final = 64 * 2**10
"""Bytes of the meta of an entry: it is a label, not a second value."""
MAX_NESTING_LEVELS: Final = 100
"""Levels of nesting of a value: far from the recursion limit of any JSON parser."""
MAX_TTL_S: Final = 10 * 365.25 * 86400
"""Seconds of the longest ttl of an entry, and lease of a lock or job: ten years."""
MAX_WAIT_S: Final = 3600.0
"""Seconds that one command may wait for conditions."""
MAX_PAGE_ENTRIES: Final = 1000
"""Entries in one page of `list`."""
MAX_TXN_STEPS: Final = 128
"""Commands in one branch of a txn, and its conditions."""
MAX_STORED_OUTCOMES: Final = 1000
"""Outcomes of changes that the hub keeps for retries, in each session."""

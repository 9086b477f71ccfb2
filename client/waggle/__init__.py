"""Waggle: the hub where AI agents that work on the same thing find each other. This is its client.

    async with waggle.connect(agent="impl-1") as hub:
        await hub.set("task:auth", {"owner": "impl-1"}, ttl=3600)
        async for event in hub.watch("task:*"):
            ...

The public API is what `__all__` names; `waggle.sync` holds the same client without ``await``.
"""

from waggle.api.compare_and_set import KEEP, Keep
from waggle.api.election import Election, Leader, Leaders
from waggle.api.hub import Hub, connect
from waggle.api.inbox import Inbox, Message, Sent
from waggle.api.job import Job, Work
from waggle.api.lock import Lock
from waggle.api.txn import Condition, Step
from waggle.api.typed import TypedEntry, TypedEvent, TypedUpdated
from waggle.api.view import TypedMirror, TypedWatcher, View
from waggle.api.wait import WaitFor, Where
from waggle.api.watcher import Mirror, Watcher
from waggle.core.lease import Guarding
from waggle.version import __version__
from waggle.wire.errors import (
    BadRequest,
    Cancelled,
    Conflict,
    Deadlock,
    Disconnected,
    Forbidden,
    Internal,
    LimitReached,
    Locked,
    LockLost,
    Lost,
    Mismatch,
    NotFound,
    NotHolder,
    RateLimited,
    SessionLost,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    WaggleError,
)
from waggle.wire.messages import (
    BackedUp,
    Deleted,
    Done,
    Entry,
    Event,
    HeldLock,
    Hit,
    Inspection,
    NamespaceCount,
    Pong,
    Published,
    Since,
    Statistics,
    Touched,
    Updated,
    Waited,
    Welcome,
    Written,
)

__all__ = [
    "KEEP",
    "BackedUp",
    "BadRequest",
    "Cancelled",
    "Condition",
    "Conflict",
    "Deadlock",
    "Deleted",
    "Disconnected",
    "Done",
    "Election",
    "Entry",
    "Event",
    "Forbidden",
    "Guarding",
    "HeldLock",
    "Hit",
    "Hub",
    "Inbox",
    "Inspection",
    "Internal",
    "Job",
    "Keep",
    "Leader",
    "Leaders",
    "LimitReached",
    "Lock",
    "LockLost",
    "Locked",
    "Lost",
    "Message",
    "Mirror",
    "Mismatch",
    "NamespaceCount",
    "NotFound",
    "NotHolder",
    "Pong",
    "Published",
    "RateLimited",
    "Sent",
    "SessionLost",
    "Since",
    "Statistics",
    "Step",
    "TimedOut",
    "TooLarge",
    "Touched",
    "TypedEntry",
    "TypedEvent",
    "TypedMirror",
    "TypedUpdated",
    "TypedWatcher",
    "Unauthorized",
    "Unavailable",
    "Updated",
    "View",
    "WaggleError",
    "WaitFor",
    "Waited",
    "Watcher",
    "Welcome",
    "Where",
    "Work",
    "Written",
    "__version__",
    "connect",
]

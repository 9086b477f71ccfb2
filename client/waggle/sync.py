"""The client without ``await``: ``from waggle.sync import connect``. The code is in `waggle.blocking`."""

from waggle.blocking.hub import (
    Election,
    Hub,
    Inbox,
    Job,
    Leaders,
    Lock,
    Message,
    Mirror,
    TypedMirror,
    TypedWatcher,
    View,
    Watcher,
    Work,
    connect,
)

__all__ = [
    "Election", "Hub", "Inbox", "Job", "Leaders", "Lock", "Message", "Mirror", "TypedMirror", "TypedWatcher", "View",
    "Watcher", "Work", "connect",
]  # fmt: skip

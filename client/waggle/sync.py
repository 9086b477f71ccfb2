"""The client without ``await``: ``from waggle.sync import connect``. The code is in `waggle.blocking`."""

from waggle.blocking.election import Election, Leaders
from waggle.blocking.hub import Hub, connect
from waggle.blocking.inbox import Inbox, Message
from waggle.blocking.job import Job, Work
from waggle.blocking.lock import Lock
from waggle.blocking.mirror import Mirror
from waggle.blocking.view import TypedMirror, TypedWatcher, View
from waggle.blocking.watcher import Watcher

__all__ = [
    "Election", "Hub", "Inbox", "Job", "Leaders", "Lock", "Message", "Mirror", "TypedMirror", "TypedWatcher", "View",
    "Watcher", "Work", "connect",
]  # fmt: skip

"""The errors of Waggle, as data on the wire and as exceptions in Python (protocol 9).

Each error code of the wire is one exception class here. The hub raises it where a rule refuses a command, and sends it
as ``{"code", "message", ...}``. The client turns that object back into the same class. The message says what was wrong
and what to do. ``details`` has the other fields of the object, for programs.

The classes after `Internal` are raised by the client alone, and never sent.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

__all__ = [
    "BadRequest",
    "Cancelled",
    "Conflict",
    "Deadlock",
    "Disconnected",
    "Forbidden",
    "Internal",
    "LimitReached",
    "LockLost",
    "Locked",
    "Lost",
    "Mismatch",
    "NotFound",
    "NotHolder",
    "RateLimited",
    "SessionLost",
    "TimedOut",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "WaggleError",
    "copy_error",
    "error_from_wire",
]


class WaggleError(Exception):
    """The base of all errors of Waggle, with ``code``, ``message`` and ``details`` as on the wire."""

    code: ClassVar[str] = "internal"
    retry: ClassVar[bool] = False
    """Whether the same command may succeed later, unchanged."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def to_wire(self) -> dict[str, Any]:
        """Return the error object of the wire: code, message, then the details."""
        return {"code": self.code, "message": self.message, **self.details}


class BadRequest(WaggleError):
    """The hub cannot read the command. ``details["field"]`` names the field to correct."""

    code = "bad_request"


class Unauthorized(WaggleError):
    """The token is missing or wrong: set WAGGLE_TOKEN or pass ``token=``. Reserved: no hub asks for a token yet."""

    code = "unauthorized"


class Forbidden(WaggleError):
    """The agent may not do this. ``details["need"]`` names the right that is missing."""

    code = "forbidden"


class NotFound(WaggleError):
    """There is no such entry, subscription or path."""

    code = "not_found"


class Conflict(WaggleError):
    """The entry is not as the command expected. ``current`` is the entry now, so a retry needs no read."""

    code = "conflict"

    @property
    def current(self) -> Any:
        """Return the Entry as it is now, or None if the key is absent."""
        return self.details.get("current")


class Locked(WaggleError):
    """Another session holds the lock. ``details["holders"]`` lists the holders, each with its deadline."""

    code = "locked"
    retry = True


class NotHolder(WaggleError):
    """The lock of this token is not held now: it was released, expired, or was released by force."""

    code = "not_holder"


class SessionLost(WaggleError):
    """The session has ended, with all that it held. Connect again for a new one."""

    code = "session_lost"


class Deadlock(WaggleError):
    """Agents would wait for each other in a circle. ``details["cycle"]`` lists it. Release a lock, try again."""

    code = "deadlock"


class TimedOut(WaggleError, TimeoutError):
    """The condition did not become true in the time given, or the hub did not answer in time."""

    code = "timeout"
    retry = True


class Cancelled(WaggleError):
    """The waiting command was cancelled."""

    code = "cancelled"
    retry = True


class TooLarge(WaggleError):
    """The value or message has more than ``details["limit"]`` bytes. Store it elsewhere, and a reference here."""

    code = "too_large"


class LimitReached(WaggleError):
    """A limit of the hub or of the session is reached. ``details["limit"]`` is that limit."""

    code = "limit"


class RateLimited(WaggleError):
    """The agent sent too many commands. Wait ``details["retry_after"]`` seconds."""

    code = "rate_limited"
    retry = True


class Unavailable(WaggleError):
    """The hub cannot do this now. Wait ``details["retry_after"]`` seconds."""

    code = "unavailable"
    retry = True


class Internal(WaggleError):
    """A fault of the hub. ``details["id"]`` is also in the hub's own output."""

    code = "internal"


class Disconnected(WaggleError, ConnectionError):
    """The connection was lost and could not be restored. Check that the hub runs, and the URL."""

    code = "disconnected"


class Lost(WaggleError):
    """A subscription missed events that the hub no longer has."""

    code = "lost"


class LockLost(NotHolder):
    """A lock, or the lease of a job, was lost while it was held. ``reason`` says why."""

    code = "lock_lost"

    @property
    def reason(self) -> str:
        """Return ``expired``, ``forced``, ``released``, ``session_ended``, ``session_lost``, ``disconnected`` or
        ``not_holder``."""
        return str(self.details.get("reason", ""))


class Mismatch(WaggleError):
    """A value does not have the type of the view. ``details`` has ``key``, ``path`` and ``expected``."""

    code = "mismatch"


BY_CODE: Final[dict[str, type[WaggleError]]] = {
    cls.code: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, Conflict, Locked, NotHolder, SessionLost, Deadlock,
        TimedOut, Cancelled, TooLarge, LimitReached, RateLimited, Unavailable, Internal,
    )
}  # fmt: skip
"""The class of each error code of the wire."""


def error_from_wire(error: dict[str, Any]) -> WaggleError:
    """Return the exception for an error object of the wire; for an unknown code a plain WaggleError."""
    details = {name: value for name, value in error.items() if name not in ("code", "message")}
    cls = BY_CODE.get(error.get("code", ""), WaggleError)
    return cls(str(error.get("message", error.get("code", "unknown error"))), **details)


def copy_error(error: WaggleError) -> WaggleError:
    """Return the same error as a new exception, without the traceback of the first."""
    return type(error)(error.message, **error.details)

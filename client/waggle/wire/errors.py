"""What can go wrong, as data on the wire and as exceptions in Python (protocol 9).

Each code of the wire is one exception class here. The hub raises these classes where a rule refuses a
command and sends them as ``{"code", "message", ...}``; the client turns that object back into the same class.
A message says what was wrong and what to do; ``details`` carries the fields a program needs.
"""

from __future__ import annotations

from typing import Any, ClassVar

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
    "again",
    "error_from_wire",
]


class WaggleError(Exception):
    """Base of every error of Waggle: ``code``, ``message``, and ``details`` as on the wire."""

    code: ClassVar[str] = "internal"
    retry: ClassVar[bool] = False
    """Whether the same command may succeed later, unchanged."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def to_wire(self) -> dict[str, Any]:
        """The error object of protocol 2: code, message, then the details."""
        return {"code": self.code, "message": self.message, **self.details}


class BadRequest(WaggleError):
    """The command is not one the hub understands; ``details["field"]`` names what to correct."""

    code = "bad_request"


class Unauthorized(WaggleError):
    """The hub asks for a token: set WAGGLE_TOKEN or pass ``token=``."""

    code = "unauthorized"


class Forbidden(WaggleError):
    """This caller may not do that; ``details["need"]`` names the right that is missing."""

    code = "forbidden"


class NotFound(WaggleError):
    """There is no such entry."""

    code = "not_found"


class Conflict(WaggleError):
    """The entry is not the one expected; ``current`` is what is there now, so no read is needed to retry."""

    code = "conflict"

    @property
    def current(self) -> Any:
        """The Entry as it is now, or None if the key is absent."""
        return self.details.get("current")


class Locked(WaggleError):
    """Another session holds it; ``details["holders"]`` says who and until when."""

    code = "locked"
    retry = True


class NotHolder(WaggleError):
    """The lock token is not held now: it was released, expired or forced."""

    code = "not_holder"


class SessionLost(WaggleError):
    """The session is gone with all it held; connect again for a new one."""

    code = "session_lost"


class Deadlock(WaggleError):
    """Waiting would close a circle; ``details["cycle"]`` shows it. Let something go, then try again."""

    code = "deadlock"


class TimedOut(WaggleError, TimeoutError):
    """It did not come about in the time given, or the hub did not answer in time."""

    code = "timeout"
    retry = True


class Cancelled(WaggleError):
    """The waiting command was cancelled."""

    code = "cancelled"
    retry = True


class TooLarge(WaggleError):
    """The value or message is above ``details["limit"]`` bytes: store it elsewhere and keep a reference here."""

    code = "too_large"


class LimitReached(WaggleError):
    """A bound of the hub or of this session is reached; ``details["limit"]`` is that bound."""

    code = "limit"


class RateLimited(WaggleError):
    """Too many commands: wait ``details["retry_after"]`` seconds."""

    code = "rate_limited"
    retry = True


class Unavailable(WaggleError):
    """The hub cannot do this now: wait ``details["retry_after"]`` seconds."""

    code = "unavailable"
    retry = True


class Internal(WaggleError):
    """A fault of the hub; ``details["id"]`` is also in the hub's own output."""

    code = "internal"


class Disconnected(WaggleError, ConnectionError):
    """The connection is gone and could not be restored: check that the hub runs, and the URL."""

    code = "disconnected"


class Lost(WaggleError):
    """A subscription missed events that nothing can bring back."""

    code = "lost"


class LockLost(NotHolder):
    """A lock, or the lease of a job, was lost while it was held: ``reason`` says how."""

    code = "lock_lost"

    @property
    def reason(self) -> str:
        """``expired``, ``forced``, ``released``, ``session_ended``, ``session_lost``, ``disconnected`` or
        ``not_holder``."""
        return str(self.details.get("reason", ""))


class Mismatch(WaggleError):
    """A value is not of the type of the view: ``details`` has ``key``, ``path`` and ``expected``."""

    code = "mismatch"


BY_CODE: dict[str, type[WaggleError]] = {
    cls.code: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, Conflict, Locked, NotHolder, SessionLost, Deadlock,
        TimedOut, Cancelled, TooLarge, LimitReached, RateLimited, Unavailable, Internal,
    )
}  # fmt: skip


def error_from_wire(error: dict[str, Any]) -> WaggleError:
    """The exception for an error object of the wire; an unknown code becomes a plain WaggleError."""
    details = {name: value for name, value in error.items() if name not in ("code", "message")}
    cls = BY_CODE.get(error.get("code", ""), WaggleError)
    return cls(str(error.get("message", error.get("code", "unknown error"))), **details)


def again(error: WaggleError) -> WaggleError:
    """The same error as a new exception, without the traceback of the first raise."""
    return type(error)(error.message, **error.details)

"""The HTTP status of each error code of the wire, and the response that carries an error (protocol 9, 10)."""

from __future__ import annotations

import math

from starlette.responses import Response

from waggle.wire.errors import WaggleError
from waggle.wire.json import encode

JSON = "application/json"

STATUSES = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "timeout": 408,
    "conflict": 409,
    "locked": 409,
    "not_holder": 409,
    "deadlock": 409,
    "session_lost": 409,
    "cancelled": 409,
    "too_large": 413,
    "limit": 429,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
}
"""The status of each code."""


def refusal(error: WaggleError, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    """Make the response for an error. `status` goes before the status of the error's code."""
    all_headers = dict(headers or {})
    retry_after = error.details.get("retry_after")
    if isinstance(retry_after, int | float):
        all_headers["retry-after"] = str(math.ceil(retry_after))
    if error.code == "unauthorized":
        all_headers["www-authenticate"] = "Bearer"
    body = encode({"error": error.to_wire()})
    return Response(body, status or STATUSES.get(error.code, 500), all_headers, JSON)

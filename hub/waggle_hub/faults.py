"""Faults: what the hub logs and answers when its own code has raised an exception that no rule expects."""

from __future__ import annotations

import logging
import secrets

from waggle.wire.errors import Internal

logger = logging.getLogger("waggle_hub")


def report_fault(where: str) -> Internal:
    """Log the exception that is being handled under a new id, and return the error that names this id.

    Call it inside an `except` block: the traceback goes to the log. `where` says what the hub was doing.
    """
    fault_id = secrets.token_hex(4)
    logger.exception("fault %s in %s", fault_id, where)
    return Internal(f"a fault of the hub, {fault_id} in its output: please report it", id=fault_id)

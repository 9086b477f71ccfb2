"""Health checks for process supervisors: alive, and ready (protocol 10)."""

from __future__ import annotations

from starlette.responses import JSONResponse

from waggle_hub.edge.asgi import App
from waggle_hub.engine.engine import Engine

from .exchange import Exchange


class Health:
    """The handlers of `GET /healthz` and `GET /readyz`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def alive(self, exchange: Exchange) -> App:
        """Respond that the process is alive."""
        return JSONResponse({"ok": True})

    async def ready(self, exchange: Exchange) -> App:
        """Respond that the hub accepts everything. Raises Unavailable while it does not."""
        refusal = self._engine.refusal
        if refusal is not None:
            raise refusal
        return JSONResponse({"ok": True})

"""Somebody else: a process that pings a server every 2 ms and says how long the slowest answer took.

A process can also be late because the machine had no core for it. So it sleeps a millisecond before each ping, and
says by how much the worst of these sleeps was too long: pauses below that say nothing about the server.
"""

from __future__ import annotations

import json
import select
import sys
import time
from typing import Any

from .helper import answer
from .wire import dial_hub, dial_redis, frame, resp

_SLEEP = 0.001


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    hub = options["kind"] == "hub"
    sock = (dial_hub if hub else dial_redis)(options["host"], options["port"])
    ping = frame(b'{"id":1,"op":"ping"}') if hub else resp(b"PING")
    answered = b'"ok"' if hub else b"+PONG"
    samples: list[float] = []
    oversleeps: list[float] = []
    answer(ready=True)
    while True:
        before = time.perf_counter()
        if select.select([sys.stdin], [], [], _SLEEP)[0]:
            if not sys.stdin.readline():
                return
            answer(samples=samples, oversleeps=oversleeps)
            samples, oversleeps = [], []
            continue
        start = time.perf_counter()
        sock.sendall(ping)
        while answered not in sock.recv(65_536):
            pass
        samples.append(time.perf_counter() - start)
        oversleeps.append(start - before - _SLEEP)
        time.sleep(_SLEEP)


if __name__ == "__main__":
    main()

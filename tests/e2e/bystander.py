"""A well-behaved agent in a process of its own, and how long its round trips took while others misbehaved.

As a program, `python bystander.py ws://...`, it sets a key again and again, waits each time for its own event and the
reply, and prints its figures when its input ends.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from dataclasses import dataclass

from websockets.sync.client import connect

PAUSE = 0.003
"""Seconds between round trips."""


@dataclass(frozen=True)
class Figures:
    """Round trips in seconds."""

    count: int
    p50: float
    p99: float
    slowest: float

    def __str__(self) -> str:
        return (
            f"{self.count} round trips, p50 {self.p50 * 1e3:.2f} ms, p99 {self.p99 * 1e3:.1f} ms, "
            f"slowest {self.slowest * 1e3:.0f} ms"
        )


class Bystander:
    """Starts one against the hub at `url`."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the bystander cannot work"

    def stop(self) -> Figures:
        """End it; its figures. An AssertionError if anything was missing, wrong or refused."""
        said, _ = self._process.communicate("", timeout=60)
        assert self._process.returncode == 0, "the bystander came to harm"
        return Figures(**json.loads(said))

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()


def main(url: str) -> None:
    times: list[float] = []
    with connect(url, compression=None, proxy=None, ping_interval=None, max_size=None) as socket:
        socket.send('{"id":1,"op":"hello","ns":"bystander"}\n{"id":2,"op":"subscribe","patterns":["*"]}')
        lines: list[str] = []
        while len(lines) < 2:
            lines += str(socket.recv(timeout=30)).split("\n")
        assert all("ok" in json.loads(line) for line in lines), lines
        number = 0
        while not select.select([sys.stdin], [], [], PAUSE)[0]:
            number += 1
            began = time.perf_counter()
            socket.send(json.dumps({"id": number, "op": "set", "key": "k", "value": number}))
            heard: list[object] = []
            while f"reply {number}" not in heard:
                for text in str(socket.recv(timeout=30)).split("\n"):
                    line = json.loads(text)
                    if "id" in line:
                        assert "ok" in line, line
                        heard.append(f"reply {line['id']}")
                    elif line["type"] != "mark":
                        heard.append(line["value"])
            times.append(time.perf_counter() - began)
            assert heard == [number, f"reply {number}"], heard
            if number == 20:
                times.clear()
                print("ready", flush=True)
    times.sort()
    count = len(times)
    figures = {"count": count, "p50": times[count // 2], "p99": times[count * 99 // 100], "slowest": times[-1]}
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])

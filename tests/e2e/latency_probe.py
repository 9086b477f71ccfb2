"""A well-behaved agent in a process of its own, and how long its round trips took while others misbehaved.

As a program, `python latency_probe.py ws://... PID`, it sets a key again and again, waits each time for its own event
and the reply, and prints its figures when its input ends. PID is the process of the hub. A round trip is measured
twice: by the clock, and by the processor time that the hub used meanwhile. The second says how long the hub let this
agent wait for the work of others, also on a machine that has other things to do.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from websockets.sync.client import connect

PAUSE = 0.003
"""Seconds between round trips."""
FEWEST = 21
"""Round trips that are measured at least, however short the attack is."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """Round trips in seconds; ``busiest`` is the most processor time that the hub used within one."""

    count: int
    p50: float
    p99: float
    slowest: float
    busiest: float

    def __str__(self) -> str:
        return (
            f"{self.count} round trips, p50 {self.p50 * 1e3:.2f} ms, p99 {self.p99 * 1e3:.1f} ms, "
            f"slowest {self.slowest * 1e3:.0f} ms, of which the hub worked {self.busiest * 1e3:.0f} ms"
        )


class LatencyProbe:
    """Starts one against the hub at `url`, whose process is `pid`."""

    def __init__(self, url: str, pid: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, url, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the probe cannot work"

    def stop(self) -> Figures:
        """End it; its figures. An AssertionError if anything was missing, wrong or refused."""
        said, _ = self._process.communicate("", timeout=60)
        assert self._process.returncode == 0, "the probe came to harm"
        return Figures(**json.loads(said))

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()


def worked(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main(url: str, hub: int) -> None:
    times: list[float] = []
    busy: list[float] = []
    with connect(url, compression=None, proxy=None, ping_interval=None, max_size=None) as socket:
        socket.send('{"id":1,"op":"hello","ns":"bystander"}\n{"id":2,"op":"subscribe","patterns":["*"]}')
        lines: list[str] = []
        while len(lines) < 2:
            lines += str(socket.recv(timeout=30)).split("\n")
        assert all("ok" in json.loads(line) for line in lines), lines
        number = 0
        while not select.select([sys.stdin], [], [], PAUSE)[0] or len(times) < FEWEST:
            number += 1
            before, began = worked(hub), time.perf_counter()
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
            busy.append(worked(hub) - before)
            assert heard == [number, f"reply {number}"], heard
            if number == 20:
                times.clear()
                busy.clear()
                print("ready", flush=True)
    times.sort()
    count = len(times)
    figures = Figures(count, times[count // 2], times[count * 99 // 100], times[-1], max(busy))
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

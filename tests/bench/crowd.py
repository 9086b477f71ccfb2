"""A crowd of subscribers, and one who publishes: a process of its own, the same for a hub and a Redis.

It must be faster than the server that it loads. So nothing is parsed: every event carries one MARKER, and the crowd
counts markers in what the sockets hold.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

from .helper import answer
from .wire import dial_hub, dial_redis, frame, resp

MARKER = b"~"
PONG = 0xA
_CHUNK = 1 << 18
_PATIENCE = 60.0


class Crowd:
    """`members` sockets that are subscribed, and a publisher."""

    def __init__(self, kind: str, host: str, port: int, members: int, payload: int) -> None:
        self._kind = kind
        self._text = MARKER.decode() + "x" * (payload - len('{"n":1234,"text":""}') - 1)
        if kind == "hub":
            subscribe = b'"op":"subscribe","patterns":["crowd:*"]'
            self._members = [dial_hub(host, port, subscribe) for _ in range(members)]
            self._publisher = dial_hub(host, port)
        else:
            self._members = [dial_redis(host, port, resp(b"PSUBSCRIBE", b"crowd:*")) for _ in range(members)]
            self._publisher = dial_redis(host, port)
        self._sockets = {sock.fileno(): sock for sock in [*self._members, self._publisher]}
        self._poll = select.epoll()
        for number, sock in self._sockets.items():
            sock.setblocking(False)
            self._poll.register(number, select.EPOLLIN)
        self._space = memoryview(bytearray(_CHUNK))

    def burst(self, how: str, events: int) -> dict[str, float]:
        """Publish all at once: the seconds until everybody has everything, and what that took of this process."""
        batch = self._batch(how, events)
        expected = events * len(self._members)
        cpu, start = time.process_time(), time.perf_counter()
        self._send(batch)
        heard = size = 0
        while heard < expected:
            for count, length in self._hear():
                heard += count
                size += length
            if time.perf_counter() - start > _PATIENCE:
                raise TimeoutError(f"heard {heard} of {expected}")
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "cpu": (time.process_time() - cpu) / seconds, "bytes": size / heard}

    def steady(self, how: str, events: int, rate: float) -> list[float]:
        """Publish one by one, `rate` a second: the seconds from there to each delivery."""
        taken: list[float] = []
        for number in range(events):
            batch = self._batch(how, 1)
            start = time.perf_counter()
            self._send(batch)
            while len(taken) < (number + 1) * len(self._members):
                for count, _ in self._hear():
                    if count:
                        taken.append(time.perf_counter() - start)
                if time.perf_counter() - start > _PATIENCE:
                    raise TimeoutError(f"heard {len(taken)}")
            self.idle(start + 1 / rate)
        return taken

    def idle(self, until: float) -> None:
        """Read and forget, so that what was said in the meantime does not count later."""
        while time.perf_counter() < until:
            self._hear(until - time.perf_counter())

    def _batch(self, how: str, events: int) -> bytes:
        values = [json.dumps({"n": 1000 + n, "text": self._text}, separators=(",", ":")) for n in range(events)]
        if self._kind == "redis":
            return b"".join(resp(b"PUBLISH", b"crowd:%d" % (n % 10), v.encode()) for n, v in enumerate(values))
        words = '"op":"set","key"' if how == "set" else '"op":"publish","channel"'
        field = "value" if how == "set" else "data"
        lines = [
            f'{{"id":{number},{words}:"crowd:{number % 10}","{field}":{value}}}' for number, value in enumerate(values)
        ]
        return frame("\n".join(lines).encode())

    def _send(self, data: bytes) -> None:
        self._publisher.setblocking(True)
        self._publisher.sendall(data)
        self._publisher.setblocking(False)

    def _hear(self, timeout: float = 1.0) -> list[tuple[int, int]]:
        """Read each member's socket that holds something, once: how many events, and how many bytes."""
        found = []
        for number, _ in self._poll.poll(max(timeout, 0.0)):
            sock = self._sockets[number]
            size = sock.recv_into(self._space)
            if size == 0:
                raise ConnectionError("the server hung up on a member of the crowd")
            data = self._space[:size].tobytes()
            if self._kind == "hub":
                self._answer_ping(sock, data)
            if sock is not self._publisher:
                found.append((data.count(MARKER), size))
        return found

    def _answer_ping(self, sock: socket.socket, data: bytes) -> None:
        """A ping of the hub (six bytes) comes before what else there is, or behind it."""
        for ping in {data[:6], data[-6:]}:
            if ping[:2] == b"\x89\x04":
                sock.send(frame(ping[2:], PONG))

    def hang_up(self) -> None:
        for sock in self._sockets.values():
            sock.close()


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    crowd = Crowd(**options)
    answer(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        crowd.idle(time.perf_counter() + 0.05)
        if order["do"] == "burst":
            answer(**crowd.burst(order["how"], order["events"]))
        else:
            answer(taken=crowd.steady(order["how"], order["events"], order["rate"]))
    crowd.hang_up()


if __name__ == "__main__":
    socket.setdefaulttimeout(30)
    main()

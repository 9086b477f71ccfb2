"""A raw agent for tests: speaks the wire with nothing of the project's client, and believes nothing it hears.

Every line that comes is checked as it comes:
1. Replies answer the commands sent, in the order sent but for those that wait, each with `ok` or `error` and the fields
   its op has.
2. Events have the fields of their type (the hub may add new ones). Their revisions run up, each once; `after` is never
   beyond the cursor (the chain); a revision of several events is not split; a snapshot ends with `synced`, a replay
   with a `mark`.
3. A reply comes after every event up to its `rev` (G11), unless the subscription is being filled or conflated.
A breach is a `ProtocolViolation`. Lines are read only while a test waits for one: an agent that does not ask does not
read.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Json = dict[str, Any]

PATIENCE = 20.0
"""Seconds to wait for anything, on a busy machine."""
GREATEST_LINE = 24 * 2**20

DEFAULT_TYPES = frozenset({"set", "delete", "expire", "evict", "lock", "unlock", "message"})
_PLACE = {"sub", "rev", "after", "type", "key", "ns", "at", "by"}
_EVENT_FIELDS = {
    "set": {"version", "kind", "created_at", "expires_at"},
    "delete": {"version"},
    "expire": {"version", "expires_at", "late"},
    "evict": {"version"},
    "touch": {"expires_at"},
    "lock": {"token", "mode", "session", "expires_at"},
    "renew": {"token", "session", "expires_at"},
    "unlock": {"token", "session", "reason"},
    "queue": {"waiting", "session"},
    "message": {"data"},
}
_FIELDS_OF_SOME = {
    "value", "prev", "snapshot", "data", "expires_at", "late", "reason", "meta", "token", "mode", "session", "names",
    "patterns", "waiting",
}  # fmt: skip
_MAY_HAVE = {"set": {"meta"}, "delete": {"reason"}, "lock": {"names", "patterns"}}
_ENTRY_EVENTS = {"set", "delete", "expire", "evict", "touch"}
_WAITING = {"lock", "wait", "take", "backup", "search"}
ENTRY_FIELDS = {
    "key", "ns", "value", "rev", "version", "kind", "created_at", "updated_at", "expires_at", "by", "meta",
}  # fmt: skip
_OK_FIELDS = {
    "hello": {
        "session", "secret", "agent", "resumed", "epoch", "rev", "grace", "hub", "features", "durability", "limits",
        "subs",
    },
    "bye": set(),
    "status": {"rev"},
    "ping": {"rev", "at"},
    "set": {"rev", "version", "expires_at"},
    "get": {"entry", "rev"},
    "delete": {"deleted", "rev"},
    "touch": {"expires_at", "rev"},
    "list": {"entries", "next", "rev"},
    "search": {"entries", "more", "rev"},
    "clear": {"deleted", "more", "rev"},
    "namespaces": {"namespaces"},
    "publish": {"rev", "receivers"},
    "subscribe": {"sub", "epoch", "rev"},
    "unsubscribe": set(),
    "update": {"rev", "version", "value", "expires_at"},
    "txn": {"done", "rev", "results"},
    "history": {"entries"},
    "stats": {"rev", "at", "keys", "bytes", "locks", "waits", "ops", "rates", "lateness", "log", "memory"},
    "backup": {"path", "bytes", "rev", "seconds"},
    "lock": {"token", "mode", "expires_at", "waited"},
    "unlock": {"rev"},
    "renew": {"expires_at"},
    "locks": {"locks"},
    "cancel": set(),
    "wait": {"matched", "met", "rev"},
    "take": {"entry", "token", "expires_at", "delivery"},
    "inspect": {"sessions", "locks", "waits", "subscriptions"},
}  # fmt: skip
_CODES = {
    "bad_request", "unauthorized", "forbidden", "not_found", "conflict", "locked", "not_holder", "session_lost",
    "deadlock", "timeout", "cancelled", "too_large", "limit", "rate_limited", "unavailable", "internal",
}  # fmt: skip


class ProtocolViolation(AssertionError):
    """The hub has broken the protocol."""


class Refused(Exception):
    """The hub answered with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.error = error
        self.code: str = error["code"]
        self.field: str | None = error.get("field")


class Closed(Exception):
    """The hub closed the connection, or it broke (1006)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def need(truth: object, what: str, line: object) -> None:
    """ProtocolViolation unless `truth`."""
    if not truth:
        raise ProtocolViolation(f"{what}: {str(line)[:600]}")


class Chain:
    """The events of one subscription so far, and the check of each that comes next."""

    def __init__(self, command: Json, ok: Json) -> None:
        self.sub: int = ok["sub"]
        self.values: bool = command.get("values", True)
        self.prev: bool = command.get("prev", False)
        self.echo: bool = command.get("echo", True)
        self.conflated = command.get("conflate") is not None
        self.types = frozenset(command.get("types") or DEFAULT_TYPES)
        self.start: int = ok["rev"]
        """Where it began."""
        self.cursor: int = ok["rev"]
        """Everything up to here has been told."""
        self.open: int | None = None
        """A revision of which more is to come."""
        self.filling = False
        """True while a snapshot is on its way."""
        self.replaying = False
        """True while a mark of this subscription is still to come."""
        self.snapshot: dict[tuple[str, str], Json] = {}
        """The entries of the newest snapshot."""
        self.locks: dict[tuple[str, str, int], Json] = {}
        """The locks of it, by namespace, name and token."""
        self.losses = 0
        self.delivery: list[object] = []
        """If conflated: what has come since its last mark."""
        self.by_snapshot: bool = not ok.get("resumed") and ("resumed" in ok or command.get("snapshot", False))
        """True if the subscription begins with a snapshot."""
        if ok.get("resumed"):
            self.start = self.cursor = command["since"]["rev"]
            self.replaying = True
        elif self.by_snapshot:
            self.fill()

    def resume(self, rev: int | None) -> None:
        """Go on from `rev`, or from the start, after a takeover of the session."""
        self.open = None
        self.delivery = []
        self.replaying = True
        if rev is not None:
            self.cursor = rev
        elif self.by_snapshot:
            self.fill()
        else:
            self.cursor = self.start

    def fill(self) -> None:
        """A snapshot comes that replaces all."""
        self.filling = self.replaying = True
        self.open = None
        self.snapshot, self.locks = {}, {}

    def check(self, line: Json, floor: int) -> None:
        """Take a line of this subscription. `floor`: replies up to this revision have come."""
        kind = line["type"]
        if kind == "lost":
            need(set(line) >= {"sub", "type", "reason"}, "fields of lost", line)
            self.losses += 1
            self.by_snapshot = True
            self.fill()
        elif kind == "synced":
            need(set(line) >= {"sub", "type", "rev"}, "fields of synced", line)
            need(self.filling, "synced without a snapshot", line)
            self.filling = False
            self.cursor = line["rev"]
        elif kind == "mark":
            need(set(line) >= {"sub", "type", "rev"}, "fields of a mark", line)
            need(not self.filling, "a mark within a snapshot", line)
            need(self.open is None, "a mark within a revision", line)
            need(line["rev"] >= self.cursor, "a mark that goes back", line)
            self.cursor = line["rev"]
            self.delivery = []
            self.replaying = self.replaying and not self.echo  # without echo, marks stand within a replay, too
        elif line.get("snapshot"):
            self._check_fields(line)
            need(self.filling, "a snapshot line outside of a snapshot", line)
            if kind == "lock":
                self.locks[line["ns"], line["key"], line["token"]] = line
                return
            place = (line["ns"], line["key"])
            need(place not in self.snapshot, "a key twice in a snapshot", line)
            self.snapshot[place] = line
        else:
            self._check_fields(line)
            self._check_event(line, floor)

    def speak(self, rev: int) -> None:
        """The connection's own mark."""
        need(not self.filling, "a mark of the connection while a snapshot is on its way", rev)
        need(self.open is None, "a mark of the connection within a revision", rev)
        need(not self.delivery, "a mark of the connection within a delivery", rev)
        self.cursor = max(self.cursor, rev)

    def _check_event(self, line: Json, floor: int) -> None:
        rev = line["rev"]
        need(not self.filling, "an event before synced", line)
        need(rev > self.cursor, f"an event twice or out of order, the cursor is {self.cursor}", line)
        need(self.open in (None, rev), f"revision {self.open} was split", line)
        need(line["after"] <= self.cursor, f"a gap, the cursor is {self.cursor}", line)
        need(self.replaying or self.conflated or rev > floor, f"an event after a reply at {floor} (G11)", line)
        if self.conflated:
            place = ("" if line["type"] in _ENTRY_EVENTS else rev, line["ns"], line["key"], line["type"] == "touch")
            need(place not in self.delivery, "old news in a delivery", line)
            self.delivery.append(place)
        if line.get("more"):
            self.open = rev
        else:
            self.open = None
            self.cursor = rev

    def _check_fields(self, line: Json) -> None:
        kind = line["type"]
        need(kind in self.types, f"a type not asked for ({sorted(self.types)})", line)
        must = _PLACE | _EVENT_FIELDS[kind]
        others = _FIELDS_OF_SOME - _MAY_HAVE.get(kind, set())
        if kind == "set" and self.values:
            must = must | {"value"}
        if line.get("snapshot"):
            must = must | {"snapshot"}
        elif self.prev and kind in _ENTRY_EVENTS:
            must = must | {"prev"}
            if line["prev"] is not None:
                check_entry(line["prev"], self.values)
        need(must <= set(line), f"lacks {must - set(line)}", line)
        need(not set(line) & (others - must), f"has {set(line) & (others - must)}", line)
        need(line.get("more", True) is True, "more is true or absent", line)
        need(round(line["at"], 3) == line["at"], "instants have milliseconds", line)


def check_entry(entry: Json, values: bool = True) -> None:
    """The fields of an entry."""
    fields = ENTRY_FIELDS if values else ENTRY_FIELDS - {"value"}
    need(fields <= set(entry), f"an entry lacks {fields - set(entry)}", entry)
    need(values or "value" not in entry, "a value that was not asked for", entry)
    need(entry["version"] > 0, "version", entry)
    need(entry["created_at"] <= entry["updated_at"], "created before updated", entry)


class Wire:
    """One connection, and what it has heard."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome: Json = {}
        self.heard: list[Json] = []
        """Every line, in the order in which they came; `remember = False` keeps none."""
        self.remember = True
        self.slow = False
        """True if this agent reads so late that G11 does not hold for it."""
        self.chains: dict[int, Chain] = {}
        self.events: deque[Json] = deque()
        """Lines without `id` that were not fetched yet."""
        self.unread: deque[str] = deque()
        self._numbers = itertools.count(1)
        self._asked: deque[Json] = deque()
        self._waiting: dict[Any, Json] = {}
        """Commands that may be answered out of turn."""
        self._replies: dict[Any, deque[Json]] = {}
        self._rev = 0
        self.lost: list[Json] = []
        """Locks that the hub said were lost."""

    @classmethod
    async def connect(cls, url: str, **options: Any) -> Wire:
        """A connection on which nothing has been said."""
        options = {"subprotocols": ["waggle.v1"], "max_queue": 4, **options}
        return cls(
            await connect(
                url,
                compression=None,
                proxy=None,
                max_size=GREATEST_LINE,
                ping_interval=None,
                open_timeout=PATIENCE,
                close_timeout=2,
                **options,
            )
        )

    # --- saying ---

    async def hello(self, **fields: Any) -> Json:
        """Say hello; what the hub answered."""
        self.welcome = await self.ask("hello", **fields)
        return self.welcome

    async def take_over(self, older: Wire, cursors: dict[int, int] | None = None) -> Json:
        """Go on with the session of a connection that is lost, from `cursors`, by default those that it reached."""
        if cursors is None:
            cursors = {sub: chain.cursor for sub, chain in older.chains.items() if not chain.filling}
        for sub, chain in older.chains.items():
            self.chains[sub] = chain
            chain.resume(cursors.get(sub))
        self._waiting, self._numbers = older._waiting, older._numbers
        session, secret = older.welcome["session"], older.welcome["secret"]
        return await self.hello(session=session, secret=secret, cursors={str(sub): rev for sub, rev in cursors.items()})

    async def send(self, *commands: Json) -> list[Any]:
        """Send commands as one message; their ids, given where they had none."""
        for command in commands:
            command.setdefault("id", next(self._numbers))
            if command["op"] in _WAITING:
                self._waiting[command["id"]] = command
            else:
                self._asked.append(command)
        await self.say("\n".join(json.dumps(command) for command in commands))
        return [command["id"] for command in commands]

    def expect(self, id: Any, op: str) -> None:
        """Expect the reply of a command that waits, and was sent on an earlier connection of the session."""
        self._waiting[id] = {"op": op}

    async def say(self, text: str | bytes) -> None:
        """Send a message as it is; a `bytes` goes as a text message all the same."""
        try:
            await self.socket.send(text, text=True)
        except ConnectionClosed as end:
            raise _closed(end) from None

    async def ask(self, op: str, **fields: Any) -> Json:
        """The `ok` of a command; Refused if that is an error."""
        return await self.ok(*await self.send({"op": op, **fields}))

    async def refusal(self, op: str, **fields: Any) -> Refused:
        """The error of a command that must fail."""
        return await self.refused(*await self.send({"op": op, **fields}))

    async def raw(self, text: str) -> Json:
        """Send a line as it is; the reply to it, whatever its id."""
        anything: Json = {"id": object(), "op": None}
        self._asked.append(anything)
        await self.say(text)
        return await self.reply(anything["id"])

    # --- hearing ---

    async def ok(self, id: Any) -> Json:
        """The `ok` of the command with this id."""
        reply = await self.reply(id)
        if "error" in reply:
            raise Refused(reply["error"])
        ok: Json = reply["ok"]
        return ok

    async def refused(self, id: Any) -> Refused:
        """The error of the command with this id, which must fail."""
        reply = await self.reply(id)
        need("error" in reply, "expected a refusal", reply)
        return Refused(reply["error"])

    async def reply(self, id: Any) -> Json:
        """The whole line of a reply; None is the id of what had none."""
        async with asyncio.timeout(PATIENCE):
            while not self._replies.get(id):
                await self._hear()
        return self._replies[id].popleft()

    async def event(self, *types: str, within: float = PATIENCE) -> Json:
        """The next line without `id`; those that are not of these types are passed over, marks unless asked for."""
        async with asyncio.timeout(within):
            while True:
                while self.events:
                    line = self.events.popleft()
                    if line["type"] in types or (not types and line["type"] != "mark"):
                        return line
                await self._hear()

    async def take(self, count: int) -> list[Json]:
        """The next events, none of them marks."""
        return [await self.event() for _ in range(count)]

    async def settle(self) -> list[Json]:
        """All events up to now: those that came before the reply to a ping."""
        await self.ask("ping")
        return self.drain()

    def drain(self) -> list[Json]:
        """The events heard and not fetched, without what a subscription says of itself."""
        lines = [line for line in self.events if line["type"] not in ("mark", "synced")]
        self.events.clear()
        return lines

    async def closed(self, within: float = PATIENCE) -> Closed:
        """How the hub closed the connection, which it must."""
        try:
            async with asyncio.timeout(within):
                while True:
                    await self._hear()
        except Closed as end:
            return end

    async def subscribe(self, *patterns: str, **fields: Any) -> Chain:
        """Subscribe; the chain, whose `snapshot` is complete if there is one."""
        ok = await self.ask("subscribe", patterns=list(patterns), **fields)
        chain = self.chains[ok["sub"]]
        async with asyncio.timeout(PATIENCE):
            while chain.filling:
                await self._hear()
        return chain

    # --- ending ---

    async def close(self) -> None:
        """Close, without a word; if the hub has closed, wait until that is done."""
        if self.socket.close_code is None:
            await self.socket.close()
        else:
            await asyncio.wait_for(self.socket.wait_closed(), PATIENCE)

    def cut(self) -> None:
        """Break the connection as a network does."""
        self.socket.transport.abort()

    # --- within ---

    async def _hear(self) -> None:
        """Take one line, waiting for a message if need be."""
        if not self.unread:
            try:
                message = await self.socket.recv()
            except ConnectionClosed as end:
                raise _closed(end) from None
            need(isinstance(message, str), "a text message", message)
            self.unread.extend(str(message).split("\n"))
        self._take(self.unread.popleft())

    def _take(self, text: str) -> None:
        line = json.loads(text)
        need(isinstance(line, dict), "a line is an object", text)
        if self.remember:
            self.heard.append(line)
        if "id" in line:
            id = self._check_reply(line)
            self._replies.setdefault(id, deque()).append(line)
        elif "lost" in line:
            need({"token", "reason"} <= set(line["lost"]), "fields of a loss", line)
            need(("names" in line["lost"]) != ("patterns" in line["lost"]), "names or patterns", line)
            self.lost.append(line["lost"])
        else:
            self._check_event(line)
            self.events.append(line)

    def _check_reply(self, line: Json) -> Any:
        """Check a reply; return the id of its command."""
        need(("ok" in line) != ("error" in line), "either ok or error", line)
        if "error" in line:
            error = line["error"]
            need(error["code"] in _CODES and error["message"], "code and message of an error", line)
        if line["id"] in self._waiting:
            command = self._waiting.pop(line["id"])
            if "ok" in line:
                need(_OK_FIELDS[command["op"]] <= set(line["ok"]), f"fields of {command['op']}", line)
                for entry in line["ok"].get("entries", ()):
                    check_entry(entry)
            return line["id"]
        need(self._asked, "a reply to nothing", line)
        need(line["id"] is not None or "error" in line, "a reply without id is a refusal", line)
        command = self._asked.popleft()
        if command["op"] is not None:
            need(line["id"] == command["id"], f"replies in the order sent, next is {command['id']!r}", line)
            if "ok" in line:
                self._check_ok(command, line["ok"], line)
        return command["id"]

    def _check_ok(self, command: Json, ok: Json, line: Json) -> None:
        op = command["op"]
        must = _OK_FIELDS[op]
        need(must <= set(ok), f"the reply to {op} lacks {must - set(ok)}", line)
        if "rev" in ok and not line.get("dup"):
            need(self._rev <= ok["rev"] < 2**53, f"revisions of replies run up from {self._rev}", line)
            self._rev = ok["rev"]
        if op == "subscribe":
            self.chains[ok["sub"]] = Chain(command, ok)
        elif op == "unsubscribe":
            del self.chains[command["sub"]]
        for entry in ok.get("entries", ()):
            check_entry(entry, command.get("values", True))
        if ok.get("entry") is not None:
            check_entry(ok["entry"])

    def _check_event(self, line: Json) -> None:
        if "sub" not in line:
            need("rev" in line and line["type"] == "mark", "a line without sub is a mark", line)
            for chain in self.chains.values():
                chain.speak(line["rev"])
            return
        chain = self.chains.get(line["sub"])  # type: ignore[assignment]
        need(chain is not None, "an event of a subscription that is not", line)
        chain.check(line, 0 if self.slow else self._rev)


Join = Callable[..., Awaitable[Wire]]
"""Connects an agent and says hello: the fixture `join`."""


def told(lines: Iterable[Json]) -> list[tuple[str, str]]:
    """Type and key of each: what a short test compares."""
    return [(line["type"], line["key"]) for line in lines]


def _closed(end: ConnectionClosed) -> Closed:
    return Closed(end.rcvd.code, end.rcvd.reason) if end.rcvd is not None else Closed(1006, str(end))

"""A model of keys, sessions and subscriptions in plain dicts: slow, complete and simple.

One method for each op, in the terms of the wire: fields in, the reply out. Every change is written down in `commits`
(what happened, by revision) and `states` (all entries as they stood after it), so that a test can ask what any reader
should have heard by any revision, and what was true at it.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from tests.walk.model_types import USUAL, Fields, ModelEntry, ModelEvent, ModelSession, Place, Refused, Scope


def merged(value: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    kept = value if isinstance(value, dict) else {}
    names = [*kept, *(name for name in patch if name not in kept)]
    changed = {name: merged(kept.get(name), patch[name]) if name in patch else kept[name] for name in names}
    return {name: part for name, part in changed.items() if name not in patch or patch[name] is not None}


def same(left: Any, right: Any) -> bool:
    """Equal as JSON is, for what the walk compares: `true` is not 1."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


class Model:
    """All that is true."""

    def __init__(self, limits: Any, epoch: str, rev: int) -> None:
        self.limits, self.epoch, self.rev, self.floor = limits, epoch, rev, rev
        self.entries: dict[Place, ModelEntry] = {}
        self.stays: dict[str, ModelSession] = {}
        self.commits: dict[int, list[ModelEvent]] = {}
        self.states: dict[int, dict[Place, ModelEntry]] = {rev: {}}
        self.numbers: dict[Scope, int] = {}
        self.graves: dict[Place, int] = {}
        self.forgotten: dict[str, int] = {}
        self.opened = self.subscribed = 0
        self.now = 0.0
        self._did: list[ModelEvent] = []
        self._by, self._origin = "$hub", ""

    # --- time, and what a session is ---

    def begin(self, now: float) -> None:
        """Sessions whose grace is over end before anything else is done."""
        self.now = now
        for stay in sorted(self.stays.values(), key=lambda stay: (stay.until or 0.0, stay.number)):
            if stay.until is not None and stay.until <= now:
                self._end(stay)
        self._act(None)

    def expire(self, now: float, most: int, order: list[Place]) -> None:
        """`order` is that of the hub, which is free where both the deadline and the revision are the same."""
        self.begin(now)
        due = [self.entries[place] for place in order]
        assert len(due) == sum(item.due(now) for item in self.entries.values())
        assert due == sorted(due, key=lambda item: (item.expires_at or 0.0, item.rev))
        for item in due[:most]:
            self._live(item.ns, item.key)

    def next_deadline(self) -> float | None:
        instants = [item.expires_at for item in self.entries.values()] + [stay.until for stay in self.stays.values()]
        return min((at for at in instants if at is not None), default=None)

    def drop(self, sid: str, now: float) -> None:
        self.begin(now)
        stay = self.stays.get(sid)
        if stay is not None and stay.until is None:
            stay.until, stay.last = now + self.limits.grace, now
            self._act(stay)
            self._show(stay.agent)
        self._commit()

    def hello(self, fresh: Any, asked: Fields, now: float) -> Fields:
        self.begin(now)
        try:
            stay = self._open(fresh, asked) if asked.get("session") is None else self._take_over(asked)
        except Refused as refused:
            return {"error": refused.error}
        self._commit()
        subs = {str(sub): sub for sub in stay.subs}
        known = {"session": stay.id, "secret": stay.secret, "agent": stay.agent, "epoch": self.epoch, "subs": subs}
        return {"ok": {**known, "resumed": asked.get("session") is not None, "rev": self.rev}}

    def _open(self, fresh: Any, asked: Fields) -> ModelSession:
        if len(self.stays) >= self.limits.sessions:
            raise Refused("limit", limit=self.limits.sessions)
        agent = asked.get("agent")
        self.opened += 1
        stay = ModelSession(fresh.session, fresh.secret, agent or fresh.agent, agent is not None,
                            asked.get("ns") or "default", asked.get("meta") or {}, self.now, self.opened,
                            self.now)  # fmt: skip
        self._live("$seen", stay.agent)
        self.stays[stay.id] = stay
        self._act(stay)
        self._show(stay.agent)
        self._remember(stay)
        return stay

    def _take_over(self, asked: Fields) -> ModelSession:
        stay = self.stays.get(asked["session"])
        if stay is None or stay.secret != asked["secret"]:
            raise Refused("session_lost")
        if any(not 0 <= rev <= self.rev for rev in asked.get("cursors", {}).values()):
            raise Refused("bad_request", field="cursors")
        self._act(stay)
        if stay.until is not None:
            stay.until = None
            self._show(stay.agent)
        return stay

    def _end(self, stay: ModelSession) -> None:
        self._live("$seen", stay.agent)
        self._act(stay)
        if stay.until is None:
            stay.last = self.now
        for place in sorted(place for place, item in self.entries.items() if item.owner == stay.id):
            self._remove(self.entries[place], "delete", reason="session_ended")
        for sub in list(stay.subs):
            self._leave(stay, sub)
        del self.stays[stay.id]
        self._show(stay.agent)
        self._remember(stay)
        self._commit()

    def _show(self, agent: str) -> None:
        stays = [stay for stay in self.stays.values() if stay.agent == agent]
        if stays:
            new = stays[-1]
            value = {"session": new.id, "connected": new.until is None, "since": new.since, "meta": new.meta,
                     "status": new.status, "sessions": len(stays)}  # fmt: skip
            self._write("$agents", agent, value, kind="transient")
        else:
            self._remove(self.entries["$agents", agent], "delete", reason="session_ended")

    def _remember(self, stay: ModelSession) -> None:
        if stay.chosen:
            self._write("$seen", stay.agent, {"last": stay.last}, expires_at=self.now + self.limits.seen)

    # --- commands ---

    def apply(self, sid: str, op: str, asked: Fields, now: float) -> Fields:
        """The reply, as the wire has it but for the wording of errors."""
        self.begin(now)
        stay = self.stays.get(sid)
        if stay is None:
            return {"error": {"code": "session_lost"}}
        self._act(stay)
        rid = asked.get("rid")
        if rid in stay.outcomes:
            first, of = stay.outcomes[rid]
            if of != op:
                return {"error": {"code": "bad_request", "field": "rid"}}
            return (
                {**first, "dup": True, "ok": {**first["ok"], "dup": True}} if "ok" in first else {**first, "dup": True}
            )
        try:
            reply: Fields = {"ok": getattr(self, f"_do_{op}")(stay, {"ns": stay.ns, **asked})}
        except Refused as refused:
            reply = {"error": refused.error}
        self._commit()
        if rid is not None and ("ok" in reply or reply["error"]["code"] == "conflict"):
            stay.outcomes[rid] = reply, op
            if len(stay.outcomes) > self.limits.outcomes:
                del stay.outcomes[next(iter(stay.outcomes))]
        return reply

    def _do_set(self, stay: ModelSession, asked: Fields) -> Fields:
        ns, key, ttl, keep = asked["ns"], asked["key"], asked.get("ttl"), asked.get("keep_ttl", False)
        self._writable(ns)
        if (ttl is not None and ttl <= 0) or (keep and ttl is not None):
            raise Refused("bad_request", field="keep_ttl" if ttl and ttl > 0 else "ttl")
        prev = self._live(ns, key)
        self._compare(asked, prev)
        if prev is None and len(self.entries) >= self.limits.keys:
            raise Refused("limit", limit=self.limits.keys)
        mine = [item for item in self.entries.values() if item.owner == stay.id]
        if asked.get("ephemeral") and len(mine) >= self.limits.ephemeral and prev not in mine:
            raise Refused("limit", limit=self.limits.ephemeral)
        kept = prev.expires_at if prev is not None and keep else None
        item = self._write(
            ns, key, asked["value"], kind=asked.get("kind", "persistent"), meta=asked.get("meta"),
            expires_at=kept if ttl is None else self.now + ttl, owner=stay.id if asked.get("ephemeral") else None,
        )  # fmt: skip
        return {"rev": item.rev, "version": item.version, "expires_at": item.expires_at}

    def _do_get(self, stay: ModelSession, asked: Fields) -> Fields:
        item = self._live(asked["ns"], asked["key"])
        return {"entry": None if item is None else item.shown(), "rev": self.rev}

    def _do_history(self, stay: ModelSession, asked: Fields) -> Fields:
        item = self._live(asked["ns"], asked["key"])
        return {"entries": [] if item is None else [one.shown() for one in (item, *item.earlier)]}

    def _do_update(self, stay: ModelSession, asked: Fields) -> Fields:
        self._writable(asked["ns"])
        prev = self._live(asked["ns"], asked["key"])
        self._compare(asked, prev)
        value = self._updated(prev, asked)
        if prev is None and len(self.entries) >= self.limits.keys:
            raise Refused("limit", limit=self.limits.keys)
        kind, meta, owner = ("persistent", None, None) if prev is None else (prev.kind, prev.meta, prev.owner)
        kept = None if prev is None else prev.expires_at
        item = self._write(
            asked["ns"], asked["key"], value, kind=kind, meta=meta, owner=owner,
            expires_at=kept if asked.get("ttl") is None else self.now + asked["ttl"],
        )  # fmt: skip
        return {"rev": item.rev, "version": item.version, "value": item.value, "expires_at": item.expires_at}

    def _updated(self, prev: ModelEntry | None, asked: Fields) -> Any:
        """Return the updated value; of a patch, the operations that the walk knows: test, replace, add, remove."""
        if "merge" in asked:
            return merged(None if prev is None else prev.value, asked["merge"])
        if "incr" in asked:
            value = 0 if prev is None else prev.value
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Refused("bad_request", field="incr")
            return value + asked["incr"]
        if "append" in asked:
            value = [] if prev is None else prev.value
            if not isinstance(value, list):
                raise Refused("bad_request", field="append")
            return [*value, asked["append"]]
        value = {} if prev is None else prev.value
        for step in asked["patch"]:
            if step["path"] == "":
                if step["op"] == "test" and not same(value, step["value"]):
                    raise Refused("conflict", current=None if prev is None else prev.shown())
                value = step["value"]
                continue
            name = step["path"][1:]
            if not isinstance(value, dict) or (step["op"] == "remove" and name not in value):
                raise Refused("bad_request", field="patch")
            value = {at: part for at, part in value.items() if at != name}
            value |= {name: step["value"]} if step["op"] == "add" else {}
        return value

    def _do_txn(self, stay: ModelSession, asked: Fields) -> Fields:
        """All or nothing: what was there is kept aside until it is known which."""
        steps = [{"ns": stay.ns, **step} for step in (*asked["if"], *asked["then"], *asked.get("else", ()))]
        for step in steps:
            if "key" in step:
                self._live(step["ns"], step["key"])
        holds = True
        for step in steps[: len(asked["if"])]:
            item = self.entries.get((step["ns"], step["key"]))
            if "equals" in step:
                holds &= item is not None and same(item.value, step["equals"])
            elif "exists" in step:
                holds &= (item is not None) == step["exists"]
            else:
                holds &= step["rev"] == (item.rev if item else 0)
        kept = dict(self.entries), dict(self.graves), dict(self.forgotten)
        results = []
        for index, step in enumerate(asked["then"] if holds else asked.get("else", ())):
            try:
                results.append(getattr(self, f"_do_{step['op']}")(stay, {"ns": stay.ns, **step}))
            except Refused as refused:
                self.entries, self.graves, self.forgotten = kept
                self._did = []
                raise Refused(**refused.error, index=index) from None
        return {"done": "then" if holds else "else", "rev": self._newest, "results": results}

    def _do_delete(self, stay: ModelSession, asked: Fields) -> Fields:
        self._writable(asked["ns"])
        item = self._live(asked["ns"], asked["key"])
        self._compare(asked, item)
        if item is not None:
            self._remove(item, "delete")
        return {"deleted": item is not None, "rev": self._newest}

    def _do_touch(self, stay: ModelSession, asked: Fields) -> Fields:
        self._writable(asked["ns"])
        item = self._live(asked["ns"], asked["key"])
        if item is None:
            raise Refused("not_found")
        expires_at = None if asked["ttl"] is None else self.now + asked["ttl"]
        self.entries[item.ns, item.key] = replace(item, expires_at=expires_at)
        self._happen("touch", item.ns, item.key, item, expires_at=expires_at)
        return {"expires_at": expires_at, "rev": self._newest}

    def _do_clear(self, stay: ModelSession, asked: Fields) -> Fields:
        """Which keys a call gets to is the hub's to choose: `asked["chosen"]`, in order; `more` is what it says."""
        self._writable(asked["ns"])
        wanted = self.matching(asked["ns"], asked["pattern"])
        chosen = asked["chosen"]
        assert chosen == [key for key in wanted if key in chosen], "keys that are there, in order"
        assert len(chosen) <= self.limits.clear
        assert asked["more"] or stay.sweeping or chosen == wanted, "nothing is left when a whole sweep is done"
        stay.sweeping = asked["more"]
        for key in chosen:
            self._remove(self.entries[asked["ns"], key], "delete")
        return {"deleted": len(chosen), "more": asked["more"], "rev": self._newest}

    def _do_publish(self, stay: ModelSession, asked: Fields) -> Fields:
        self._writable(asked["ns"])
        self._happen("message", asked["ns"], asked["channel"], None, data=asked["data"])
        told = {s.id for s in self.stays.values() for x in s.subs.values() if x.wants(self._did[-1])}
        return {"rev": self._newest, "receivers": len(told)}

    def _do_status(self, stay: ModelSession, asked: Fields) -> Fields:
        stay.status = asked["status"]
        self._show(stay.agent)
        return {"rev": self._newest}

    def _do_ping(self, stay: ModelSession, asked: Fields) -> Fields:
        return {"rev": self.rev, "at": self.now}

    def _do_namespaces(self, stay: ModelSession, asked: Fields) -> Fields:
        spaces: dict[str, list[ModelEntry]] = {}
        for item in self.entries.values():
            spaces.setdefault(item.ns, []).append(item)
        counts = [
            {"ns": ns, "keys": len(spaces[ns]), "bytes": sum(i.size for i in spaces[ns])} for ns in sorted(spaces)
        ]
        return {"namespaces": counts}

    def _do_bye(self, stay: ModelSession, asked: Fields) -> Fields:
        self._end(stay)
        return {}

    def _do_hello(self, stay: ModelSession, asked: Fields) -> Fields:
        raise Refused("bad_request", field="op")

    def _do_subscribe(self, stay: ModelSession, asked: Fields) -> Fields:
        scope = Scope(asked["ns"], frozenset(asked["patterns"]), frozenset(asked.get("types") or USUAL),
                      asked.get("values", True), asked.get("prev", False), asked.get("conflate"))  # fmt: skip
        if scope.conflate is not None and not 0 < scope.conflate <= 3600:
            raise Refused("bad_request", field="conflate")
        since = asked.get("since")
        reason = None
        if since is not None and since["epoch"] != self.epoch:
            reason = "epoch"
        elif since is not None:
            if not 0 <= since["rev"] <= self.rev:
                raise Refused("bad_request", field="since")
            reason = "compacted" if since["rev"] < self.floor else None
        if scope not in stay.subs.values() and len(stay.subs) >= self.limits.subscriptions:
            raise Refused("limit", limit=self.limits.subscriptions)
        if scope not in self.numbers:
            self.subscribed += 1
            self.numbers[scope] = self.subscribed
        stay.subs[self.numbers[scope]] = scope
        resumed = {} if since is None else {"resumed": reason is None}
        reasons = {} if reason is None else {"reason": reason}
        return {"sub": self.numbers[scope], "epoch": self.epoch, "rev": self.rev, **resumed, **reasons}

    def _do_unsubscribe(self, stay: ModelSession, asked: Fields) -> Fields:
        if asked["sub"] not in stay.subs:
            raise Refused("not_found")
        self._leave(stay, asked["sub"])
        return {}

    def matching(self, ns: str, pattern: str) -> list[str]:
        """The keys that are there for everybody to see, in order."""
        items = (item for item in self.entries.values() if item.ns == ns and not item.due(self.now))
        return sorted(item.key for item in items if fnmatchcase(item.key, pattern))

    # --- changing ---

    @property
    def _newest(self) -> int:
        return self.rev + bool(self._did)

    def _act(self, stay: ModelSession | None) -> None:
        self._by, self._origin = ("$hub", "") if stay is None else (stay.agent, stay.id)

    def _writable(self, ns: str) -> None:
        if ns.startswith("$"):
            raise Refused("forbidden", need="hub")

    def _compare(self, asked: Fields, item: ModelEntry | None) -> None:
        if asked.get("if_rev") not in (None, 0 if item is None else item.rev):
            raise Refused("conflict", current=None if item is None else item.shown())

    def _live(self, ns: str, key: str) -> ModelEntry | None:
        """The entry; one that is due expires first, in a revision of its own."""
        item = self.entries.get((ns, key))
        if item is None or not item.due(self.now):
            return item
        by, origin = self._by, self._origin
        self._act(None)
        late = round(self.now - (item.expires_at or 0.0), 6)
        self._remove(item, "expire", expires_at=item.expires_at, late=late)
        self._commit()
        self._by, self._origin = by, origin
        return None

    def _write(self, ns: str, key: str, value: Any, *, kind: str = "persistent", meta: Any = None,
               expires_at: float | None = None, owner: str | None = None) -> ModelEntry:  # fmt: skip
        prev = self.entries.get((ns, key))
        version = self.graves.pop((ns, key), self.forgotten.get(ns, 0)) + 1 if prev is None else prev.version + 1
        created = self.now if prev is None else prev.created_at
        item = ModelEntry(
            key, ns, self.rev + 1, version, kind, created, self.now, expires_at, self._by, meta, value, owner
        )
        if prev is not None and kind == "versioned":
            before = (replace(prev, earlier=()), *prev.earlier)
            item = replace(item, earlier=before[: self.limits.history])
        self.entries[ns, key] = item
        more = {"value": value, "version": version, "kind": kind, "created_at": created, "expires_at": expires_at}
        self._happen("set", ns, key, prev, **more, **({} if meta is None else {"meta": meta}))
        return item

    def _remove(self, item: ModelEntry, type: str, **more: Any) -> None:
        del self.entries[item.ns, item.key]
        self.graves[item.ns, item.key] = item.version
        if len(self.graves) > self.limits.tombstones:
            oldest = next(iter(self.graves))
            self.forgotten[oldest[0]] = max(self.forgotten.get(oldest[0], 0), self.graves.pop(oldest))
        self._happen(type, item.ns, item.key, item, version=item.version, **more)

    def _leave(self, stay: ModelSession, sub: int) -> None:
        scope = stay.subs.pop(sub)
        if not any(scope in other.subs.values() for other in self.stays.values()):
            del self.numbers[scope]

    def _happen(self, type: str, ns: str, key: str, prev: ModelEntry | None, **more: Any) -> None:
        self._did.append(ModelEvent(type, self.rev + 1, ns, key, self.now, self._by, self._origin or None, more, prev))

    def _commit(self) -> None:
        if self._did:
            self.rev += 1
            self.commits[self.rev], self._did = self._did, []
            self.states[self.rev] = dict(self.entries)
            while sum(len(self.commits[rev]) for rev in range(self.floor + 1, self.rev + 1)) > self.limits.log_events:
                self.floor += 1

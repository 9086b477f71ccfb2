"""Random walks of searches beside a naive one: what is found is what has the words, whatever changes meanwhile.

The naive search looks at every entry and takes its text apart with a regular expression. A search is begun, entries
change, and only then the index answers: what it found has to be what the naive search found at that time, without what
is gone by now.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from random import Random, randrange
from typing import Any

import msgspec
import pytest

from tests.unit.fulltext.desk import Desk
from waggle.wire.patterns import compile_pattern
from waggle_hub.settings import Bounds
from waggle_hub.state.store.entry import Entry

WORDS = ("alpha", "beta", "gamma", "alphabet", "Álpha", "beta-gamma", "x_y", "héllo", "字", "straße", "İstanbul", "7up")
SEARCHES = (*WORDS, "alp*", "be*", "alpha beta", "beta gamma", 'al* "beta', "x_y alpha", "hello", "true", "gamma*")
KEYS = ("k", "k/alpha", "beta:1", "K", "[k]", "gamma-1")
PATTERNS = ("*", "*", "k*", "*[!k]", "beta:1", "?", "\\[*")
NAMESPACES = ("default", "Default")


def words_of(text: str) -> list[str]:
    """The words of a text, as the index has them."""
    plain = "".join(
        char for char in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.category(char).startswith("M")
    )
    return re.findall(r"[^\W_]+", plain)


def strings_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for name, part in value.items() for text in (name, *strings_of(part))]
    return [text for part in value for text in strings_of(part)] if isinstance(value, list) else []


def has(entry: Entry, asked: str) -> bool:
    """Whether an entry has all the words of a text, each of them in one of its parts."""
    decode = msgspec.json.decode
    texts = [*strings_of(decode(entry.value)), *([] if entry.meta is None else strings_of(decode(entry.meta)))]
    parts = [words_of(entry.key), [word for text in texts for word in words_of(text)]]
    return all(any(_has(part, words_of(one), one.endswith("*")) for part in parts) for one in asked.split())


def _has(there: list[str], row: list[str], open: bool) -> bool:
    """Whether these words stand there one after another; of the last, only the beginning if it is open."""
    for start in range(len(there) - len(row) + 1):
        *head, last = there[start : start + len(row)]
        if head == row[:-1] and (last.startswith(row[-1]) if open else last == row[-1]):
            return True
    return False


class Walk:
    """A desk, and chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.holds = seed % 2 == 0
        """Whether things change while the index is asked. It must not be told of them by the way then."""
        pause = 3_600.0 if self.holds else 0.0
        self.desk = Desk(bounds=Bounds(index_slice=self.random.choice((1, 2, 100)), index_pause=pause))

    def value(self, depth: int = 0) -> Any:
        choose = self.random.random()
        if depth == 3 or choose < 0.5:
            return " ".join(self.random.choices(WORDS, k=self.random.randrange(4)))
        if choose < 0.6:
            return self.random.choice((True, None, 7, -1.5, "", 'a"alpha', "beta\ngamma", "\\alpha", "\x00beta"))
        if choose < 0.8:
            return [self.value(depth + 1) for _ in range(self.random.randrange(3))]
        return {self.random.choice(WORDS): self.value(depth + 1) for _ in range(self.random.randrange(3))}

    def change(self) -> None:
        """Something happens to an entry, or time goes on."""
        ns, key = self.random.choice(NAMESPACES), self.random.choice(KEYS)
        choose = self.random.random()
        if choose < 0.6:
            ttl = self.random.choice((None, None, 2, 5))
            meta = {"m": self.value()} if self.random.random() < 0.3 else None
            kind = self.random.choice(("persistent", "transient", "cached", "versioned"))
            self.desk.do("a", "set", ns=ns, key=key, value=self.value(), ttl=ttl, meta=meta, kind=kind)
        elif choose < 0.75:
            self.desk.do("a", "delete", ns=ns, key=key)
        elif choose < 0.8:
            self.desk.do("a", "clear", ns=ns, pattern=self.random.choice(PATTERNS), confirm=True)
        elif choose < 0.9:
            self.desk.now += 1
        else:
            self.desk.expire(self.random.choice((1, 100)))
            self.desk.tell()

    def naive(self, ns: str, pattern: str, text: str) -> dict[str, Entry]:
        matches = compile_pattern(pattern).match
        space = self.desk.machine.state.keyspace.scan(ns, compile_pattern("*"))
        return {one.key: one for one in space if matches(one.key) and not one.is_due(self.desk.now) and has(one, text)}

    async def search(self) -> int:
        """Search while things change; how many were found."""
        desk, keyspace = self.desk, self.desk.machine.state.keyspace
        ns, pattern, text = (self.random.choice(some) for some in (NAMESPACES, PATTERNS, SEARCHES))
        if self.holds and desk.finder._complete:
            held = desk.hold()
            search = await desk.begun(text, ns=ns, pattern=pattern)
        else:
            held, search = None, None
        there = self.naive(ns, pattern, text)
        if held is not None:
            for _ in range(self.random.randrange(6)):
                self.change()
            held.set()
        found = await (desk.search(text, ns=ns, pattern=pattern) if search is None else search)
        expected: dict[str, bytes] = {}
        for key, then in there.items():
            now = keyspace.get(ns, key)
            if now is not None and now.created_rev == then.created_rev and not now.is_due(desk.now):
                expected[key] = then.value
        shown = {hit.key: bytes(hit.value) for hit in found.entries if not _past(hit.expires_at, desk.now)}
        assert shown == {key: value for key, value in expected.items() if not _past(there[key].expires_at, desk.now)}
        assert [hit.score for hit in found.entries] == sorted((hit.score for hit in found.entries), reverse=True)
        return len(found.entries)


def _past(expires_at: float | None, now: float) -> bool:
    return expires_at is not None and expires_at <= now


@pytest.mark.parametrize("part", range(12))
async def test_a_search_finds_what_a_look_at_every_entry_finds(part: int) -> None:
    seed = randrange(2**32) * 12 + part
    walk = Walk(seed)
    found = 0
    try:
        for _ in range(120):
            for _ in range(walk.random.randrange(8)):
                walk.change()
            if walk.random.random() < 0.03:
                walk.desk.finder.forget()
            found += await walk.search()
            await asyncio.sleep(0)
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        walk.desk.finder.close()
    assert found > 30, "the walk has found something"

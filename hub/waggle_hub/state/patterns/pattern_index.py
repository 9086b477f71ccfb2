"""The pattern index: finds the items whose patterns match a key, without trying every pattern.

Where a pattern is filed:

1. A pattern without a wildcard: in a dict, by the key it is.
2. Any other: on the *shelf* of its literal prefix. There is a dict of shelves for each length of prefix in use, so a
   find looks up one slice of the key for each length, however many patterns there are.
3. On its shelf, a pattern that is nothing but the prefix and a star is a match at once. One with plain text after the
   prefix is filed under one of its *runs* of plain text, the one that the fewest others are filed under: for
   ``*:task:*:17`` that is soon ``:17``, since all its neighbours have ``:task:`` too. A key can only match if it
   contains the run, so a find looks up the slices of the key after the prefix, for each length of run in use.
   Patterns without such text (``a?*``, ``[0-9]*``) are tried one by one.

Laws:

4. A find costs no more than trying every pattern on the shelves it opens: where slices would be more work (few
   patterns, or runs of very many lengths), the patterns are tried one by one instead.
5. A pair is in the index as often as it was added, less the times that it was removed. Equal patterns are one. An item
   is found while one of its pairs is in, once however many of its patterns match, in the order in which the items
   were added. An item that was removed and added again comes last.
6. Where a pattern is filed depends on what was added before; the result of a find never does. Nothing in the index is
   empty but the index itself.
7. The cache in front holds the results of ``find`` since the last change, and no more than MAX_CACHED_ITEMS.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

from waggle.wire.patterns import Pattern

T = TypeVar("T", bound=Hashable)

MAX_CACHED_ITEMS: Final = 65_536
"""Results in the cache plus items in them: at 255 characters a key, about 25 MB at worst, 5 MB as a rule."""

TRY_COST: Final = 4
"""The cost of trying a pattern, in lookups of a slice (0.4 against 0.1 µs)."""


class PatternIndex(Generic[T]):
    """Pairs of pattern and item, and the items whose patterns match a key."""

    __slots__ = ("_cache", "_exact", "_free", "_next", "_pairs", "_postings", "_shelves", "_size")

    def __init__(self) -> None:
        self._postings: dict[Pattern, _Posting[T]] = {}
        self._exact: dict[str, _Posting[T]] = {}
        self._shelves: dict[int, dict[str, _Shelf[T]]] = {}
        self._pairs: dict[T, list[int]] = {}
        """For each item: its place in the order, and the number of its pairs."""
        self._next = 0
        self._size = 0
        self._cache: dict[str, tuple[T, ...]] = {}
        self._free = MAX_CACHED_ITEMS

    def __len__(self) -> int:
        """Return the number of pairs, each counted as often as it was added."""
        return self._size

    def add(self, pattern: Pattern, item: T) -> None:
        """Add a pair, once more if it is in already."""
        posting = self._postings.get(pattern)
        if posting is None:
            posting = self._postings[pattern] = _Posting(pattern)
            self._file(posting)
        posting.items[item] = posting.items.get(item, 0) + 1
        pairs = self._pairs.get(item)
        if pairs is None:
            self._pairs[item] = [self._next, 1]
            self._next += 1
        else:
            pairs[1] += 1
        self._size += 1
        self._clear_cache()

    def remove(self, pattern: Pattern, item: T) -> None:
        """Remove a pair once; KeyError if it is not in."""
        posting = self._postings[pattern]
        posting.items[item] -= 1
        if not posting.items[item]:
            del posting.items[item]
        if not posting.items:
            del self._postings[pattern]
            self._unfile(posting)
        pairs = self._pairs[item]
        pairs[1] -= 1
        if not pairs[1]:
            del self._pairs[item]
        self._size -= 1
        self._clear_cache()

    def find(self, key: str) -> list[T]:
        """Return a new list of the items with a pattern that matches ``key``, in the order in which they were added."""
        cached = self._cache.get(key)
        if cached is None:
            cached = self._look_up(key)
            self._remember(key, cached)
        return list(cached)

    def _look_up(self, key: str) -> tuple[T, ...]:
        matching: dict[T, int] = {}
        exact = self._exact.get(key)
        if exact is not None:
            matching.update(exact.items)
        for length, shelves in self._shelves.items():
            shelf = shelves.get(key[:length])
            if shelf is None:
                continue
            if shelf.whole is not None:
                matching.update(shelf.whole.items)
            for posting in shelf.candidates(key):
                if posting.pattern.match(key):
                    matching.update(posting.items)
        if len(matching) < 2:
            return tuple(matching)
        return tuple(sorted(matching, key=lambda item: self._pairs[item][0]))

    def _file(self, posting: _Posting[T]) -> None:
        pattern = posting.pattern
        if pattern.exact is not None:
            self._exact[pattern.exact] = posting
            return
        shelves = self._shelves.setdefault(len(pattern.prefix), {})
        shelf = shelves.get(pattern.prefix)
        if shelf is None:
            shelf = shelves[pattern.prefix] = _Shelf(pattern.prefix)
        shelf.file(posting)

    def _unfile(self, posting: _Posting[T]) -> None:
        pattern = posting.pattern
        if pattern.exact is not None:
            del self._exact[pattern.exact]
            return
        shelves = self._shelves[len(pattern.prefix)]
        shelf = shelves[pattern.prefix]
        shelf.unfile(posting)
        if not len(shelf):
            del shelves[pattern.prefix]
        if not shelves:
            del self._shelves[len(pattern.prefix)]

    def _remember(self, key: str, items: tuple[T, ...]) -> None:
        room = 1 + len(items)
        if room > self._free:
            self._clear_cache()
        if room <= self._free:
            self._cache[key] = items
            self._free -= room

    def _clear_cache(self) -> None:
        if self._cache:
            self._cache.clear()
            self._free = MAX_CACHED_ITEMS

    def check(self) -> None:
        """Assert the laws of this module, by counting everything again."""
        filed = dict(self._exact)
        assert all(posting.pattern.exact == key for key, posting in filed.items())
        postings = list(filed.values())
        for length, shelves in self._shelves.items():
            assert shelves
            for prefix, shelf in shelves.items():
                assert len(prefix) == length
                assert prefix == shelf.prefix
                postings += shelf.check()
        assert len(postings) == len(self._postings)
        assert all(self._postings[posting.pattern] is posting for posting in postings)
        pairs = dict.fromkeys(self._pairs, 0)
        for posting in postings:
            assert posting.items
            for item, times in posting.items.items():
                assert times > 0
                pairs[item] += times
        assert pairs == {item: times for item, (_, times) in self._pairs.items()}
        assert sum(pairs.values()) == self._size
        places = [place for place, _ in self._pairs.values()]
        assert places == sorted(set(places))
        assert self._free == MAX_CACHED_ITEMS - sum(1 + len(items) for items in self._cache.values()) >= 0
        assert all(self._look_up(key) == items for key, items in self._cache.items())


class _Posting(Generic[T]):
    """A pattern with its items (and how often each is in), and the run that it is filed under, if any."""

    __slots__ = ("items", "pattern", "run")

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.items: dict[T, int] = {}
        self.run = ""


class _Shelf(Generic[T]):
    """The patterns with wildcards that have one literal prefix.

    ``whole`` is the pattern that is nothing but the prefix and a star. Patterns with a run are in ``with_run``, and by
    that run in ``by_run``, which is a dict for each length of run. ``without_run`` holds the rest.
    """

    __slots__ = ("by_run", "prefix", "whole", "with_run", "without_run")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.whole: _Posting[T] | None = None
        self.with_run: dict[Pattern, _Posting[T]] = {}
        self.by_run: dict[int, dict[str, dict[Pattern, _Posting[T]]]] = {}
        self.without_run: dict[Pattern, _Posting[T]] = {}

    def __len__(self) -> int:
        return len(self.with_run) + len(self.without_run) + (self.whole is not None)

    def file(self, posting: _Posting[T]) -> None:
        pattern = posting.pattern
        if pattern.only_prefix:
            self.whole = posting
        elif not pattern.runs:
            self.without_run[pattern] = posting
        else:
            run = posting.run = min(pattern.runs, key=self._filed_under)
            self.with_run[pattern] = posting
            self.by_run.setdefault(len(run), {}).setdefault(run, {})[pattern] = posting

    def unfile(self, posting: _Posting[T]) -> None:
        pattern = posting.pattern
        if pattern.only_prefix:
            self.whole = None
        elif not pattern.runs:
            del self.without_run[pattern]
        else:
            del self.with_run[pattern]
            runs = self.by_run[len(posting.run)]
            del runs[posting.run][pattern]
            if not runs[posting.run]:
                del runs[posting.run]
            if not runs:
                del self.by_run[len(posting.run)]

    def _filed_under(self, run: str) -> int:
        """Return the number of patterns filed under ``run``."""
        return len(self.by_run.get(len(run), {}).get(run, ()))

    def candidates(self, key: str) -> Iterable[_Posting[T]]:
        """Return the postings, besides ``whole``, that may match a key with this prefix, each once."""
        if not self.with_run:
            return self.without_run.values()
        start = len(self.prefix)
        slices = (len(key) - start) * len(self.by_run)
        if len(self.with_run) * TRY_COST <= slices:
            return (*self.without_run.values(), *self.with_run.values())
        candidates = list(self.without_run.values())
        for length, runs in self.by_run.items():
            seen: dict[str, None] = {}
            for at in range(start, len(key) - length + 1):
                run = key[at : at + length]
                if run in runs and run not in seen:
                    seen[run] = None
                    candidates += runs[run].values()
        return candidates

    def check(self) -> list[_Posting[T]]:
        """Assert that each pattern is filed in the right place; return the postings."""
        postings = [*self.with_run.values(), *self.without_run.values()]
        if self.whole is not None:
            assert self.whole.pattern.only_prefix
            postings.append(self.whole)
        assert postings
        assert all(posting.pattern.prefix == self.prefix for posting in postings)
        assert not any(pattern.runs for pattern in self.without_run)
        filed = 0
        for length, runs in self.by_run.items():
            assert runs
            for run, patterns in runs.items():
                assert len(run) == length
                assert patterns
                filed += len(patterns)
                for pattern, posting in patterns.items():
                    assert run in pattern.runs
                    assert posting.run == run
                    assert self.with_run[pattern] is posting
        assert filed == len(self.with_run)
        return postings

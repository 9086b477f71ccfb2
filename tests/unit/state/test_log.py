"""The log: commits in one order, without gaps, in a window that is bounded by count and by bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle_hub.state.log import Event, Log
from waggle_hub.state.store.entry import Entry


def event(rev: int, data: bytes = b"") -> Event:
    return Event(type="message", rev=rev, ns="default", key="c", at=0.0, by="a", origin=None, data=data)


def written(rev: int, value: bytes, prev: Entry | None) -> Event:
    entry = Entry("k", "default", value, rev, rev, "persistent", 0.0, 0.0, None, "a", None)
    return Event(type="set", rev=rev, ns="default", key="k", at=0.0, by="a", origin=None, entry=entry, prev=prev)


def revs(log: Log, after: int) -> list[int]:
    return [commit.rev for commit in log.commits_after(after)]


def test_a_log_starts_at_the_given_revision() -> None:
    log = Log(1_000, max_events=10, max_bytes=10_000)
    assert (log.rev, log.floor, len(log)) == (1_000, 1_000, 0)
    assert revs(log, 1_000) == []
    log.append((event(1_001),))
    assert revs(log, 1_000) == [1_001]
    log.check()


def test_a_cursor_at_the_floor_can_be_sent_everything_after_it() -> None:
    log = Log(0, max_events=3, max_bytes=10_000)
    for rev in range(1, 6):
        log.append((event(rev),))
    assert (log.floor, log.rev, len(log)) == (2, 5, 3)
    assert revs(log, 2) == [3, 4, 5]
    assert revs(log, 4) == [5]
    assert revs(log, 5) == []


def test_reading_below_the_floor_fails_an_assertion() -> None:
    log = Log(0, max_events=1, max_bytes=10_000)
    log.append((event(1),))
    log.append((event(2),))
    with pytest.raises(AssertionError):
        revs(log, 0)


def test_a_revision_is_never_given_twice() -> None:
    log = Log(5, max_events=10, max_bytes=10_000)
    with pytest.raises(AssertionError):
        log.append((event(5),))


def test_a_commit_leaves_the_window_whole() -> None:
    log = Log(0, max_events=3, max_bytes=10_000)
    log.append((event(1), event(1)))
    log.append((event(2), event(2)))
    assert (log.floor, log.events) == (1, 2)
    log.check()


def test_the_window_is_bounded_in_bytes() -> None:
    log = Log(0, max_events=1_000, max_bytes=5_000)
    for rev in range(1, 100):
        log.append((event(rev, b"x" * 1_000),))
        assert log.bytes <= 5_000
    assert revs(log, log.floor) == [97, 98, 99]
    log.check()


def test_values_of_both_sides_of_a_change_are_counted() -> None:
    log = Log(0, max_events=1_000, max_bytes=100_000)
    first = written(1, b"x" * 1_000, None)
    log.append((first,))
    log.append((written(2, b"y" * 500, first.entry),))
    assert log.bytes > 2_500


def test_a_commit_larger_than_the_window_is_dropped_and_revisions_go_on() -> None:
    log = Log(0, max_events=1_000, max_bytes=5_000)
    log.append((event(1),))
    commit = log.append((event(2, b"x" * 6_000),))
    assert (commit.rev, log.rev, log.floor, len(log)) == (2, 2, 2, 0)
    log.append((event(3),))
    assert revs(log, 2) == [3]
    log.check()


@given(st.lists(st.integers(1, 4), max_size=300), st.integers(1, 9))
def test_the_window_is_always_the_newest_commits_that_fit(sizes: list[int], most: int) -> None:
    log = Log(0, max_events=most, max_bytes=1_000_000)
    for rev, size in enumerate(sizes, 1):
        log.append((event(rev),) * size)
        log.check()
    kept = 0
    first = len(sizes)
    while first > 0 and kept + sizes[first - 1] <= most:
        kept += sizes[first - 1]
        first -= 1
    assert log.floor == first
    assert revs(log, first) == list(range(first + 1, len(sizes) + 1))


def test_dropped_commits_leave_no_trace() -> None:
    """Ten thousand commits through a window of ten: their places are given back."""
    log = Log(0, max_events=10, max_bytes=1_000_000)
    for rev in range(1, 10_001):
        log.append((event(rev),))
    assert len(log._commits) < 2_500
    log.check()

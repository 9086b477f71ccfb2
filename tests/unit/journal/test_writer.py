"""The writer: what is written when, in which order who hears of it, and what becomes of it when writing fails.

Its thread is held up by a store that writes when it is allowed to; what it has called on the loop's thread is called
here, one after another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any, Self

import pytest

from waggle_hub.journal.clean_marker import CleanMarker
from waggle_hub.journal.interface import Store, StoreError
from waggle_hub.journal.writer import Writer
from waggle_hub.state.persistence.records import Key, NamespaceRecord, Record, StoredState, WriteBatch

SECONDS = 10
"""How long anything may take before a test fails."""


class GatedStore:
    """A store that says when a write has come, and lets it through, or fails it, when it is told to."""

    def __init__(self) -> None:
        self.came: Queue[list[str]] = Queue()
        self.outcomes: Queue[Exception | None] = Queue()
        self.written: list[list[str]] = []
        self.probes = 0
        self.full = False
        """Whether a probe finds no room."""
        self.displaced = False

    def write(self, changes: WriteBatch) -> None:
        names = sorted(str(key[1]) for key in changes.records)
        self.came.put(names)
        outcome = self.outcomes.get(timeout=SECONDS)
        if outcome is not None:
            raise outcome
        self.written.append(names)

    def records(self) -> list[Record]:
        return [NamespaceRecord(ns=name) for names in self.written for name in names]

    def check_place(self) -> None:
        if self.displaced:
            raise StoreError("the files are gone")

    def probe(self) -> None:
        self.probes += 1
        if self.full:
            raise OSError("still no space")

    def load(self, progress: Callable[[int, int], None]) -> StoredState | None:
        raise NotImplementedError

    def backup(self, path: Path) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError


class Loop:
    """The loop's side: a writer over a gated store, and what it has said."""

    def __init__(self, durability: str = "full", marker: CleanMarker | None = None) -> None:
        self.calls: Queue[Callable[[], object]] = Queue()
        self.store = GatedStore()
        self.said: list[Any] = []
        """Names of turns that are done, with the error if they failed; and what else the writer says."""
        store: Store = self.store
        self.writer = Writer(
            store, durability, self, self.calls.put, marker, lag=0.001, retry=0.001, check_interval=0.001
        )

    def on_failure(self, error: Exception) -> None:
        self.said.append(f"failure: {error}")

    def on_recovery(self) -> None:
        self.said.append("recovery")

    def write(self, *names: str, turn: str = "") -> None:
        """A turn that changes these; it is called by its last name, or as given."""
        records: dict[Key, Record | None] = {("space", name): None for name in names}
        label = turn or names[-1]
        self.writer.write(
            WriteBatch(records=records), lambda error: self.said.append(label if error is None else (label, str(error)))
        )

    def arrived(self) -> list[str]:
        """What the next write is of; it waits for its outcome."""
        return self.store.came.get(timeout=SECONDS)

    def let(self, error: Exception | None = None) -> None:
        """The write that waits goes through, or fails; hear what the writer says of it."""
        self.store.outcomes.put(error)
        self.hear()

    def hear(self) -> None:
        """The next thing that the writer has called on the loop's thread."""
        self.calls.get(timeout=SECONDS)()

    def heard(self) -> list[Any]:
        said, self.said = self.said, []
        return said

    def stop(self) -> None:
        """Let everything through, and stop."""
        self.store.full = False
        for _ in range(100):
            self.store.outcomes.put(None)
        self.writer.stop()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.stop()


@pytest.fixture
def relaxed() -> Iterator[Loop]:
    loop = Loop("relaxed")
    yield loop
    loop.stop()


# --- full --------------------------------------------------------------------------------------------------------


def test_a_turn_is_done_when_it_is_on_disk(loop: Loop) -> None:
    loop.write("a")
    assert loop.arrived() == ["a"]
    assert loop.heard() == []
    loop.let()
    assert loop.heard() == ["a"]
    assert loop.store.written == [["a"]]


def test_batches_that_come_during_a_write_are_written_together_next(loop: Loop) -> None:
    loop.write("a")
    loop.arrived()
    for name in "bcde":
        loop.write(name)
    loop.let()
    assert loop.arrived() == ["b", "c", "d", "e"]
    assert loop.heard() == ["a"]
    loop.let()
    assert loop.heard() == ["b", "c", "d", "e"], "in their order"
    assert loop.writer.writes == 2


def test_a_turn_that_changed_nothing_is_done_at_once_when_nothing_is_under_way(loop: Loop) -> None:
    loop.write(turn="read")
    assert loop.heard() == ["read"]
    assert loop.writer.writes == 0


def test_a_turn_that_changed_nothing_waits_for_those_before_it(loop: Loop) -> None:
    loop.write("a")
    loop.arrived()
    loop.write(turn="read")
    assert loop.heard() == []
    loop.let()
    loop.hear()
    assert loop.heard() == ["a", "read"]
    assert loop.writer.writes == 1, "nothing is not written"
    loop.write(turn="read again")
    assert loop.heard() == ["read again"]


# --- relaxed -----------------------------------------------------------------------------------------------------


def test_relaxed_is_done_at_once_and_written_later(relaxed: Loop) -> None:
    relaxed.write("a")
    assert relaxed.heard() == ["a"]
    assert relaxed.arrived() == ["a"]
    relaxed.write("b")
    relaxed.write("c")
    assert relaxed.heard() == ["b", "c"]
    relaxed.store.outcomes.put(None)
    assert relaxed.arrived() == ["b", "c"]


def test_relaxed_takes_nothing_back_and_owes_what_was_not_written(relaxed: Loop) -> None:
    relaxed.write("a")
    relaxed.arrived()
    relaxed.write("b")
    relaxed.let(OSError("no space"))
    assert relaxed.heard() == ["a", "b", "failure: no space"]
    relaxed.write("c")
    assert relaxed.heard() == ["c"]
    owed = relaxed.arrived()
    while owed != ["a", "b", "c"]:  # it has tried before c came
        relaxed.store.outcomes.put(OSError("no space"))
        owed = relaxed.arrived()
    relaxed.let()
    assert relaxed.heard() == ["recovery"]
    assert relaxed.store.written == [["a", "b", "c"]]


# --- failure -----------------------------------------------------------------------------------------------------


def test_a_write_that_fails_ends_all_turns_that_are_not_done(loop: Loop) -> None:
    loop.write("kept")
    loop.arrived()
    loop.write("a")
    loop.write("b")
    loop.let()
    loop.arrived()
    loop.write("c")
    loop.write(turn="read")
    loop.let(OSError("no space"))
    assert loop.heard() == ["kept", *((name, "no space") for name in ("a", "b", "c", "read"))]
    assert [record.name for record in loop.writer.recall()] == [("space", "kept")]


def test_batches_between_a_failure_and_its_report_are_not_written(loop: Loop) -> None:
    loop.write("a")
    loop.arrived()
    loop.store.outcomes.put(OSError("no space"))
    tell = loop.calls.get(timeout=SECONDS)
    loop.write("b")
    tell()
    assert loop.heard() == [("a", "no space"), ("b", "no space")]
    assert loop.arrived() == [], "it tries whether it can write, and owes nothing"


def test_after_a_failure_turns_are_done_at_once_and_owed_until_all_is_written(loop: Loop) -> None:
    loop.store.full = True
    loop.write("a")
    loop.arrived()
    loop.let(OSError("no space"))
    loop.write("b")
    loop.write("c")
    assert loop.heard() == [("a", "no space"), "b", "c"]
    loop.store.full = False
    assert loop.arrived() == ["b", "c"], "as one, and without what was taken back"
    loop.let()
    assert loop.heard() == ["recovery"]
    loop.write("d")
    assert loop.heard() == []
    assert loop.arrived() == ["d"]
    loop.let()
    assert loop.heard() == ["d"], "everything is as before"


def test_nothing_is_written_where_the_probe_finds_no_room(loop: Loop) -> None:
    loop.store.full = True
    loop.write("a")
    loop.arrived()
    loop.let(OSError("no space"))
    probed = threading.Event()
    loop.writer.settle(probed.set)
    loop.hear()
    assert probed.is_set()
    assert loop.store.probes > 0
    assert loop.store.came.empty()


def test_it_has_not_recovered_before_what_came_meanwhile_is_written_too(loop: Loop) -> None:
    """Those turns were done at once: should writing them fail, nothing could be taken back."""
    loop.store.full = True
    loop.write("a")
    loop.arrived()
    loop.let(OSError("no space"))
    loop.write("b")
    loop.store.full = False
    assert loop.arrived() == ["b"]
    loop.write("c")
    loop.store.outcomes.put(None)
    assert loop.arrived() == ["c"]
    loop.write("d")
    assert loop.heard() == [("a", "no space"), "b", "c", "d"]
    loop.store.outcomes.put(OSError("no space again"))
    assert loop.arrived() == ["c", "d"], "still owed"
    loop.let()
    assert loop.heard() == ["recovery"]
    assert loop.store.written == [["b"], ["c", "d"]]


def test_a_sign_stands_while_everything_is_written(tmp_path: Path) -> None:
    marker = CleanMarker(tmp_path)
    loop = Loop(marker=marker)
    path = tmp_path / "steady"
    assert not path.exists()
    loop.write("a")
    loop.arrived()
    loop.let()
    assert path.exists()
    loop.store.full = True
    loop.write("b")
    loop.arrived()
    loop.let(OSError("no space"))
    assert not path.exists()
    loop.store.full = False
    assert loop.arrived() == []
    loop.let()
    assert loop.heard() == ["a", ("b", "no space"), "recovery"]
    assert path.exists()
    loop.stop()
    assert CleanMarker(tmp_path).stood


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_the_engine_is_told_when_the_files_are_taken_away_and_when_they_are_back(durability: str) -> None:
    loop = Loop(durability)
    loop.store.displaced = True
    loop.hear()
    assert loop.heard() == ["failure: the files are gone"]
    loop.store.displaced = False
    loop.hear()
    assert loop.heard() == ["recovery"]
    loop.write("a")
    assert loop.arrived() == ["a"]
    loop.stop()
    assert loop.store.written == [["a"]]


def test_a_write_while_the_files_are_gone_is_not_done_and_never_reaches_the_store(loop: Loop) -> None:
    loop.store.displaced = True
    loop.store.full = True
    loop.hear()
    loop.write("a")
    loop.hear()
    assert loop.heard() == ["failure: the files are gone", ("a", "the files are gone")]
    loop.write("b")
    assert loop.heard() == ["b"], "owed, as on a disk that fails"
    loop.store.displaced = loop.store.full = False
    assert loop.arrived() == ["b"]
    loop.let()
    assert loop.heard() == ["recovery"]
    assert loop.store.written == [["b"]]


# --- the end -----------------------------------------------------------------------------------------------------


def test_it_settles_when_everything_before_has_been_tried(loop: Loop) -> None:
    loop.writer.settle(lambda: loop.said.append("settled"))
    loop.hear()
    loop.write("a")
    loop.arrived()
    loop.writer.settle(lambda: loop.said.append("settled"))
    loop.let(OSError("no space"))
    assert loop.heard() == ["settled", ("a", "no space")]
    loop.arrived()
    loop.store.outcomes.put(OSError("no space"))
    loop.hear()
    assert loop.heard() == ["settled"]


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_stop_writes_what_is_left(durability: str) -> None:
    loop = Loop(durability)
    loop.write("a")
    loop.arrived()
    loop.write("b")
    loop.write("c")
    loop.stop()
    assert loop.store.written == [["a"], ["b", "c"]]


def test_a_stop_tries_once_more_to_write_what_is_owed() -> None:
    loop = Loop()
    loop.store.full = True
    loop.write("a")
    loop.arrived()
    loop.let(OSError("no space"))
    loop.write("b")
    loop.stop()
    assert loop.store.written == [["b"]]


def test_a_stop_does_not_wait_for_room(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    loop.store.full = True
    loop.write("a")
    loop.arrived()
    loop.let(OSError("no space"))
    loop.write("b")
    loop.writer.stop()
    assert loop.store.written == []
    assert "lost" in caplog.text


def test_a_stop_does_not_write_what_came_after_a_write_that_failed() -> None:
    loop = Loop()
    loop.write("a")
    loop.arrived()
    loop.write("b")
    loop.store.outcomes.put(OSError("no space"))
    loop.calls.get(timeout=SECONDS)  # nobody is told: the loop turns no more
    loop.stop()
    assert loop.store.written == []


def test_it_recovers_though_more_comes_each_time_that_it_writes(loop: Loop) -> None:
    loop.store.full = True
    loop.write("a")
    loop.arrived()
    loop.let(OSError("no space"))
    loop.write("b0")
    loop.store.full = False
    for number in range(5):
        assert loop.arrived() == [f"b{number}"]
        loop.write(f"b{number + 1}")
        loop.store.outcomes.put(None)
    assert loop.arrived() == ["b5"], "while this is written, whoever brings more waits"
    loop.let()
    assert loop.heard()[-1] == "recovery"

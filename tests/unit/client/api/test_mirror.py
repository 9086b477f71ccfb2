"""A mirror shows complete states, never part of one."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from tests.unit.client.session_harness import Wire, event, snapshot, synced
from waggle.api.mirror import MirrorView, mirroring
from waggle.wire.errors import BadRequest


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.connect()
    return wire


@pytest.fixture
def view(wire: Wire) -> MirrorView:
    replica, subscription = mirroring("*", None)
    wire.subscribe(subscription, 1)
    return MirrorView(replica)


def test_nothing_is_shown_before_the_snapshot_is_complete(wire: Wire, view: MirrorView) -> None:
    wire.say(snapshot(1, 40, "a"))
    assert (dict(view), view.synced, view.changes) == ({}, False, 0)
    wire.say(synced(1, 100))
    assert (list(view), view.synced, view.changes, view.rev) == (["a"], True, 1, 100)


def test_a_mirror_follows_every_event(wire: Wire, view: MirrorView) -> None:
    wire.say(
        synced(1, 100), event(1, 101, 100, "a", value=1, version=1, at=5.0, created_at=4.0, by="me", expires_at=9.0)
    )
    entry = view["a"]
    assert (entry.value, entry.rev, entry.created_at, entry.expires_at, entry.by) == (1, 101, 4.0, 9.0, "me")
    wire.say(event(1, 102, 101, "a", value=2, version=2, at=6.0, created_at=4.0, expires_at=None))
    assert (view.value("a"), view["a"].created_at, view["a"].updated_at, view["a"].expires_at) == (2, 4.0, 6.0, None)
    wire.say(event(1, 103, 102, "a") | {"type": "touch", "expires_at": 20.0})
    assert (view["a"].expires_at, view["a"].rev) == (20.0, 102)
    for rev, gone in enumerate(["delete", "expire", "evict"], 104):
        wire.say(event(1, rev * 2, rev * 2 - 2, "b"), event(1, rev * 2 + 1, rev * 2, "b") | {"type": gone})
        assert "b" not in view
    wire.say(event(1, 300, 210, "c") | {"type": "touch", "expires_at": 20.0})
    assert view.snapshot() == {"a": view["a"]}
    assert view.value("c") is None
    assert view.value("c", 7) == 7


def test_one_revision_shows_at_once(wire: Wire, view: MirrorView) -> None:
    wire.say(synced(1, 100))
    wire.say(event(1, 101, 100, "a", more=True))
    assert len(view) == 0
    wire.say(event(1, 101, 101, "b"))
    assert list(view) == ["a", "b"]
    assert view.changes == 2


def test_a_conflated_mirror_shows_each_delivery_at_once_and_its_revision(wire: Wire) -> None:
    replica, subscription = mirroring("*", None, 0.5)
    wire.subscribe(subscription, 2)
    view = MirrorView(replica)
    wire.say(snapshot(2, 40, "a"), synced(2, 100), event(2, 103, 100, "b"), event(2, 107, 103, "a", value=2))
    assert (list(view), view.value("a"), view.rev) == (["a"], UNSET, 100)
    wire.say({"sub": 2, "type": "mark", "rev": 109})
    assert (list(view), view.value("a"), view.rev, view.changes) == (["a", "b"], 2, 109, 2)


def test_a_fresh_snapshot_replaces_all_and_the_former_state_stays_until_then(wire: Wire, view: MirrorView) -> None:
    wire.say(snapshot(1, 40, "old"), synced(1, 100))
    wire.say({"sub": 1, "type": "lost", "reason": "compacted"}, snapshot(1, 150, "new"))
    assert (list(view), view.synced) == (["old"], False)
    wire.say(synced(1, 200))
    assert (list(view), view.synced) == (["new"], True)


def test_a_mirror_can_be_changed_while_it_is_read(wire: Wire, view: MirrorView) -> None:
    wire.say(snapshot(1, 40, "a"), snapshot(1, 41, "b"), synced(1, 100))
    seen: list[str] = []
    for key, entry in view.items():
        wire.say(event(1, 101 + len(seen), 100 + len(seen), f"more {key}"))
        seen.append(entry.key)
    assert seen == ["a", "b"]
    assert [entry.key for entry in view.values()] == [*view]
    assert "in step" in repr(view)


def test_a_mirror_is_of_one_namespace() -> None:
    with pytest.raises(BadRequest, match="one mirror for each"):
        mirroring("*", "*")

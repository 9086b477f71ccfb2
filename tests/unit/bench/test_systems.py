"""The adapters have the same names, and put what is asked into the bytes of their wire."""

from __future__ import annotations

import json

import pytest

from tests.bench.subscribers import PAYLOAD, payload
from tests.bench.systems import SYSTEMS, System
from tests.bench.systems.nats import NATS
from tests.bench.systems.port import EVENT
from tests.bench.systems.redis import REDIS
from tests.bench.systems.waggle import WAGGLE, WAGGLE_SETS
from tests.bench.systems.wire import TEXT

PAIRS = [("a:1", b"1"), ("a:2", b'{"n":2}')]


def _lines(request: bytes) -> list[dict[str, object]]:
    """The commands of one message, which is masked with zeros."""
    size = request[1] & 0x7F
    begin = {126: 4, 127: 10}.get(size, 2)
    assert request[0] == 0x80 | TEXT
    assert request[begin : begin + 4] == bytes(4)
    return [json.loads(line) for line in request[begin + 4 :].split(b"\n")]


def test_the_hub_is_sent_a_line_for_each_set_with_ids_of_their_own() -> None:
    first, second = _lines(WAGGLE.sets(PAIRS, 7))
    assert first == {"id": 7, "op": "set", "key": "a:1", "value": 1, "ttl": 3600.0}
    assert second["id"] == 8
    assert second["value"] == {"n": 2}


def test_the_hub_is_asked_to_publish_or_to_set_what_is_published() -> None:
    (published,) = _lines(WAGGLE.publish("c:1", [b"1"], 0))
    (written,) = _lines(WAGGLE_SETS.publish("c:1", [b"1"], 0))
    assert (published["op"], published["channel"], published["data"]) == ("publish", "c:1", 1)
    assert (written["op"], written["key"], written["value"]) == ("set", "c:1", 1)


def test_redis_is_sent_its_words_by_their_length() -> None:
    assert (
        REDIS.sets([("k", b"v")], 0, ttl=1.5) == b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nPX\r\n$4\r\n1500\r\n"
    )


def test_answers_of_nats_go_to_the_client_that_asked() -> None:
    assert NATS.sets([("a:1", b"v")], 0, who=4) == b"PUB $KV.bench.a.1 _INBOX.bench.4 1\r\nv\r\n"


def test_only_the_hub_s_pings_are_answered() -> None:
    ping = b"\x89\x04abcd"
    assert WAGGLE.pongs(b'{"id":1}' + ping + b"\x81\x02{}") == b"\x8a\x84" + bytes(4) + b"abcd"
    assert [system.pongs(ping) for system in (REDIS, NATS)] == [b"", b""]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_what_is_published_has_its_marker_once_and_its_size(system: System) -> None:
    each = payload(3)
    assert len(each) == PAYLOAD
    assert json.loads(each)["n"] == 1003
    assert system.publish("c", [each, each], 0).count(EVENT) == 2

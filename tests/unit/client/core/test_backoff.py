"""The address of the hub, the delay before the next attempt, and the close codes that allow none."""

from __future__ import annotations

import pytest

from waggle.core.backoff import after_close, backoff, is_loopback, websocket_url
from waggle.wire.errors import BadRequest, Disconnected, Forbidden, Unauthorized, WaggleError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:4483", "ws://127.0.0.1:4483/ws"),
        ("http://127.0.0.1:4483/", "ws://127.0.0.1:4483/ws"),
        ("https://hub.example/team/", "wss://hub.example/team/ws"),
        ("ws://hub.example/ws", "ws://hub.example/ws"),
        ("localhost:4483", "ws://localhost:4483/ws"),
    ],
)
def test_the_address_is_made_from_the_url(url: str, address: str) -> None:
    assert websocket_url(url) == address


@pytest.mark.parametrize("url", ["ftp://hub", "http://", ""])
def test_an_invalid_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadRequest, match="is not the address of a hub"):
        websocket_url(url)


def test_this_machine_is_known_by_its_names() -> None:
    assert is_loopback("ws://127.0.0.1:1/ws")
    assert is_loopback("ws://localhost/ws")
    assert is_loopback("ws://[::1]:1/ws")
    assert not is_loopback("ws://hub.example/ws")


def test_the_delay_grows_to_a_bound_and_chance_decides_within() -> None:
    assert [backoff(attempt, 1.0) for attempt in (0, 1, 2, 5, 6, 1000)] == [0.1, 0.2, 0.4, 3.2, 5.0, 5.0]
    assert backoff(3, 0.0) == 0.0
    assert backoff(0, 0.5) == 0.05


@pytest.mark.parametrize(
    ("reason", "seconds"), [("3", 3.0), ("back in 2.5 s", 2.5), ("", 1.0), ("soon", 1.0), ("999999", 300.0)]
)
def test_a_draining_hub_says_when_to_come_back(reason: str, seconds: float) -> None:
    assert after_close(4000, reason) == seconds


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 4001])
def test_other_ends_are_followed_by_another_attempt(code: int) -> None:
    assert after_close(code, "whatever") == 0.0


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (1000, Disconnected),
        (4002, Disconnected),
        (4400, Disconnected),
        (4401, Unauthorized),
        (4403, Forbidden),
        (1002, Disconnected),
        (1007, Disconnected),
        (1009, Disconnected),
    ],
)
def test_some_ends_are_final(code: int, error: type[WaggleError]) -> None:
    with pytest.raises(error, match="the reason"):
        after_close(code, "the reason")

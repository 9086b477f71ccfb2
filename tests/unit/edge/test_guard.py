"""Which browsers may knock."""

from __future__ import annotations

import pytest

from waggle_hub.edge.guard import Guard, is_loopback

GUARD = Guard(("127.0.0.1", "hive.lan"), ("https://tools.example",))


def refused(host: str, origin: str | None = None) -> bool:
    headers = [(b"Host", host.encode())]
    if origin is not None:
        headers.append((b"Origin", origin.encode()))
    return GUARD.refusal(headers) is not None


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:4483", "127.0.0.1:1", "[::1]:4483", "10.0.0.7:4483", "hive.lan"]
)
def test_own_names_and_plain_addresses_pass(host: str) -> None:
    assert not refused(host)


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example", "[::1", "127.0.0.1.evil.example:80"])
def test_a_foreign_name_is_refused(host: str) -> None:
    assert refused(host)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:4483", "http://localhost:4483"),
        ("127.0.0.1:4483", "http://127.0.0.1:4483"),
        ("hive.lan", "https://hive.lan"),
        ("localhost:4483", "https://tools.example"),
    ],
)
def test_the_hubs_own_pages_and_allowed_ones_pass(host: str, origin: str) -> None:
    assert not refused(host, origin)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost",
        "http://localhost:4484",
        "null",
        "file://",
        "http://localhost:4483.evil",
    ],
)
def test_another_origin_is_refused(origin: str) -> None:
    assert refused("localhost:4483", origin)


def test_loopback_is_known() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.0.1", "example.org"]))

"""The guard: no page of another site, and no name that was pointed here, gets in."""

from __future__ import annotations

import pytest

from waggle_hub.edge.origin_check import OriginCheck, is_loopback


def refusal(host: str | None, origin: str | None = None, guard: OriginCheck | None = None) -> str | None:
    headers = [(name, value.encode()) for name, value in ((b"host", host), (b"origin", origin)) if value is not None]
    return (guard or OriginCheck((), ())).refusal(headers)


@pytest.mark.parametrize("host", [
    "localhost", "localhost:4483", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:4483", "192.168.1.7:4483",
    "[::1]", "[::1]:4483", "[fe80::1]:80",
])  # fmt: skip
def test_loopback_names_and_plain_addresses_are_this_machine(host: str) -> None:
    assert refusal(host) is None


@pytest.mark.parametrize("host", [
    None, "", "evil.example", "evil.example:4483", "localhost.evil.example", "127.0.0.1.evil.example",
    "127.0.0.1@evil.example", "evil.example#localhost", "[::1", "]", "local host", "127.1", "0x7f000001", "2130706433",
    "\xff", ":4483",
])  # fmt: skip
def test_any_other_name_is_refused_and_told_what_to_do(host: str | None) -> None:
    said = refusal(host)
    assert said is not None
    assert "--allow-host" in said


def test_a_name_that_was_allowed_passes_with_any_port() -> None:
    guard = OriginCheck(["Hub.Example"], [])
    assert refusal("hub.example", guard=guard) is None
    assert refusal("HUB.example:99", guard=guard) is None
    assert refusal("sub.hub.example", guard=guard) is not None


def test_a_caller_without_an_origin_is_no_browser() -> None:
    assert refusal("localhost:4483") is None


@pytest.mark.parametrize(("host", "origin"), [
    ("localhost:4483", "http://localhost:4483"), ("127.0.0.1:4483", "http://127.0.0.1:4483"),
    ("localhost:4483", "https://LOCALHOST:4483"), ("[::1]:4483", "http://[::1]:4483"),
])  # fmt: skip
def test_the_hubs_own_page_gets_in(host: str, origin: str) -> None:
    assert refusal(host, origin) is None


@pytest.mark.parametrize("origin", [
    "http://evil.example", "https://evil.example", "null", "", "http://localhost", "http://localhost:4484",
    "http://127.0.0.1:4483", "http://localhost:4483.evil.example", "http://localhost:4483@evil.example",
    "http://evil.example/localhost:4483", "file://localhost:4483", "ws://localhost:4483", "chrome-extension://abc",
    "http://localhost:4483 http://evil.example",
    "http://[",
])  # fmt: skip
def test_pages_of_other_origins_are_refused_and_told_what_to_do(origin: str) -> None:
    said = refusal("localhost:4483", origin)
    assert said is not None
    assert "--allow-origin" in said


def test_an_origin_that_was_allowed_gets_in() -> None:
    guard = OriginCheck([], ["https://board.example/", "null"])
    assert refusal("localhost", "https://board.example", guard) is None
    assert refusal("localhost", "HTTPS://Board.example/", guard) is None
    assert refusal("localhost", "http://board.example", guard) is not None
    assert refusal("localhost", "null", guard) is None


def test_an_origin_that_was_allowed_opens_no_foreign_host() -> None:
    assert refusal("evil.example", "https://board.example", OriginCheck([], ["https://board.example"])) is not None


@pytest.mark.parametrize(("site", "mode", "in_"), [
    ("cross-site", "no-cors", False), ("same-site", "no-cors", False), ("cross-site", "navigate", True),
    ("same-origin", "cors", True), ("none", "navigate", True),
])  # fmt: skip
def test_a_request_embedded_in_another_site_is_refused(site: str, mode: str, in_: bool) -> None:
    headers = [(b"host", b"localhost"), (b"sec-fetch-site", site.encode()), (b"sec-fetch-mode", mode.encode())]
    assert (OriginCheck((), ()).refusal(headers) is None) is in_
    assert OriginCheck((), ["https://a.example"]).refusal([*headers, (b"origin", b"https://a.example")]) is None


def test_names_of_headers_are_known_in_any_case() -> None:
    assert OriginCheck((), ()).refusal([(b"Host", b"localhost"), (b"ORIGIN", b"http://evil.example")]) is not None


@pytest.mark.parametrize(("host", "answer"), [
    ("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False),
    ("192.168.1.1", False), ("hub.example", False), ("", False),
])  # fmt: skip
def test_loopback_is_seen_from_this_machine_alone(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer

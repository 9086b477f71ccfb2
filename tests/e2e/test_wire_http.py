"""The HTTP door over the wire: single calls, and keys in HTTP's own terms (protocol 10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.web import JSON, Web, refused, until_waiting
from tests.e2e.wire import Join

pytestmark = pytest.mark.e2e

Call = Callable[..., Web]


@pytest.fixture
async def call(hub: HubProcess, ns: str) -> AsyncIterator[Call]:
    """Somebody who calls: `call("agent")`, or `call()` without a name."""
    webs: list[Web] = []

    def call(agent: str | None = None, at: HubProcess | None = None) -> Web:
        web = Web(at or hub, None if agent is None else f"{agent}-{ns}", ns)
        webs.append(web)
        return web

    yield call
    for web in webs:
        await web.close()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.02)


# --- commands ---


@pytest.mark.every_server
async def test_a_command_has_its_fields_in_the_body_and_its_ok_in_the_answer(call: Call) -> None:
    web = call()
    written = await web.ok("set", key="k", value={"n": 1}, ttl=60)
    assert written.keys() == {"rev", "version", "expires_at"}
    got = await web.ok("get", key="k")
    assert got["entry"]["value"] == {"n": 1}
    assert (await web.ok("ping"))["rev"] >= written["rev"]


async def test_a_write_over_http_is_seen_on_the_websocket(call: Call, join: Join) -> None:
    wire = await join(agent="watcher")
    await wire.subscribe("k")
    await call("x").ok("set", key="k", value=1)
    event = await wire.event()
    assert event["value"] == 1
    assert event["by"].startswith("x-test")


async def test_each_error_has_its_status(call: Call) -> None:
    web = call("x")
    await web.ok("set", key="k", value=1)
    await web.ok("lock", name="n")
    assert await web.no("set", key="k", value=2, tll=1) == (400, "bad_request")
    assert await web.no("set", key="k", value=2, ns="$agents") == (403, "forbidden")
    assert await web.no("touch", key="none", ttl=1) == (404, "not_found")
    assert await web.no("wait", all=[{"key": "none"}], timeout=0.05) == (408, "timeout")
    assert await web.no("set", key="k", value=2, if_rev=0) == (409, "conflict")
    assert await web.no("lock", name="n") == (409, "locked")
    assert await web.no("unlock", token=1) == (409, "not_holder")
    assert await web.no("lock", names=[str(n) for n in range(101)]) == (429, "limit")
    assert await web.no("set", key="k", value="x" * (12 * 2**20)) == (413, "too_large")


async def test_a_deadlock_is_refused_and_its_cycle_is_named(hub: HubProcess, call: Call, ns: str) -> None:
    for agent in ("a", "b"):
        await call(agent).ok("lock", name=agent)
    waiting = asyncio.create_task(call("a").post("lock", name="b", wait=20))
    await until_waiting(hub)
    answer = await call("b").post("lock", name="a", wait=20)
    assert refused(answer) == (409, "deadlock")
    assert {one["agent"] for one in answer.json()["error"]["cycle"]} == {f"a-{ns}", f"b-{ns}"}
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_conflict_carries_what_is_there(call: Call) -> None:
    await call().ok("set", key="k", value="mine")
    answer = await call().post("set", key="k", value="yours", if_rev=0)
    assert answer.json()["error"]["current"]["value"] == "mine"


async def test_anonymous_callers_cannot_lock_or_take(call: Call) -> None:
    web = call()
    for op, fields in (("lock", {"name": "n"}), ("take", {"patterns": ["*"]})):
        answer = await web.post(op, **fields)
        assert refused(answer) == (400, "bad_request")
        assert "X-Waggle-Agent" in answer.json()["error"]["message"]


async def test_a_lock_is_renewed_and_let_go_by_calls_of_the_same_agent(call: Call, join: Join) -> None:
    token = (await call("x").ok("lock", name="n", ttl=20))["token"]
    assert await call("y").no("renew", token=token) == (409, "not_holder")
    assert (await call("x").ok("renew", token=token, ttl=40))["expires_at"]
    wire = await join(agent="other")
    assert (await wire.refusal("set", key="n", value=1)).code == "locked"
    await call("y").ok("set", key="n", value=1, guard={"token": token})
    await call("x").ok("unlock", token=token)
    assert (await wire.ask("lock", name="n"))["token"] > token


async def test_a_lock_outlives_a_restart_of_the_hub(start_hub: StartHub, call: Call, tmp_path: Any) -> None:
    hub = start_hub(data=tmp_path / "d")
    web = call("x", at=hub)
    token = (await web.ok("lock", name="n", ttl=60))["token"]
    await web.ok("set", key="e", value=1, ephemeral=True, ttl=60)
    assert hub.stop() == 0
    hub = start_hub(data=tmp_path / "d", port=hub.port)
    web = call("x", at=hub)
    assert (await web.ok("get", key="e"))["entry"]["value"] == 1
    assert await call("y", at=hub).no("lock", name="n") == (409, "locked")
    assert (await web.ok("renew", token=token))["expires_at"]
    assert await web.ok("unlock", token=token)


async def test_a_rid_has_its_effect_once(call: Call) -> None:
    web = call("x")
    first = await web.ok("update", key="n", incr=1, rid="r")
    again = await web.ok("update", key="n", incr=1, rid="r")
    assert again == {**first, "dup": True}


@pytest.mark.every_server
async def test_a_wait_is_over_when_it_comes_true(hub: HubProcess, call: Call) -> None:
    waiting = asyncio.create_task(call().ok("wait", all=[{"key": "k"}], timeout=20))
    await until_waiting(hub)
    await call().ok("set", key="k", value=1)
    assert (await waiting)["matched"][0]["value"] == 1


async def test_work_is_taken_by_one(hub: HubProcess, call: Call) -> None:
    taking = [asyncio.create_task(call(f"w{n}").post("take", patterns=["job"], timeout=3)) for n in range(3)]
    await until_waiting(hub, 3)
    await call().ok("set", key="job", value=1)
    answers = await asyncio.gather(*taking)
    assert sorted(answer.status_code for answer in answers) == [200, 408, 408]


async def test_a_txn_is_one_call(call: Call) -> None:
    steps = [{"op": "set", "key": "a", "value": 1}, {"op": "publish", "channel": "c", "data": 2}]
    done = await call().ok("txn", **{"if": [{"key": "a", "exists": False}], "then": steps})
    assert done["done"] == "then"
    assert len(done["results"]) == 2


async def test_the_end_of_a_call_that_waits_is_asked_by_its_id(hub: HubProcess, call: Call) -> None:
    waiting = asyncio.create_task(call("x").post("wait", all=[{"key": "k"}], id="mine"))
    await until_waiting(hub)
    assert await call("y").ok("cancel", target="mine") == {"cancelled": False}
    assert await call("x").ok("cancel", target="mine") == {"cancelled": True}
    assert refused(await waiting) == (409, "cancelled")


async def test_a_session_is_here_under_the_name_of_its_callers(call: Call, ns: str) -> None:
    await call("x").ok("ping")
    here = await call().ok("list", pattern=f"x-{ns}", ns="$agents")
    assert [entry["value"]["sessions"] for entry in here["entries"]] == [1]
    assert (await call("x").ok("status", status={"doing": "this"}))["rev"]


# --- calls that are dropped ---


@pytest.mark.every_server
async def test_a_call_that_is_dropped_gives_its_place_away(call: Call, ns: str) -> None:
    held = (await call("a").ok("lock", name="n"))["token"]
    dropped = call("b")
    waiting = asyncio.create_task(dropped.post("lock", name="n", wait=None))

    async def queue() -> list[str]:
        return [one["agent"] for lock in (await call().ok("locks"))["locks"] for one in lock["queue"]]

    async def queued() -> bool:
        return await queue() == [f"b-{ns}"]

    async def gone() -> bool:
        return await queue() == []

    await eventually(queued)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await eventually(gone)
    await call("a").ok("unlock", token=held)
    assert (await call("c").ok("lock", name="n"))["token"] > held


@pytest.mark.every_server
async def test_many_dropped_calls_leave_no_lock(call: Call) -> None:
    # Held until all are dropped: a grant whose reply has left is not a dropped call.
    held = [(await call("holder").ok("lock", name=f"n{number}"))["token"] for number in range(3)]

    async def ask_and_go(number: int) -> None:
        web = call(f"a{number % 5}")
        await web.ok("ping")  # connected: httpx leaks a connection that is cancelled while it is made
        asking = asyncio.create_task(web.post("lock", name=f"n{number % 3}", wait=60, ttl=3_000))
        await asyncio.sleep(0.003 * (number % 10))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await web.close()

    await asyncio.gather(*(ask_and_go(number) for number in range(60)))

    async def forgotten() -> bool:
        return not [lock for lock in (await call().ok("locks"))["locks"] if lock["queue"]]

    async def free() -> bool:
        return not (await call().ok("locks"))["locks"]

    await eventually(forgotten)
    for token in held:
        await call("holder").ok("unlock", token=token)
    await eventually(free)


# --- keys ---


@pytest.mark.every_server
@pytest.mark.parametrize(
    "key", ["k", "a/b/c", "task:1", "ü/日本 語", "100%", "a%2Fb", "?x=1#y", "a//b", "+ +", "'\"\\"]
)
async def test_a_key_stands_in_the_path(call: Call, ns: str, key: str) -> None:
    web = call()
    path = f"/v1/keys/{quote(key, safe='')}?ns={ns}"
    assert (await web.client.put(path, json=[key])).status_code == 200
    assert (await web.ok("get", key=key))["entry"]["value"] == [key]
    assert (await web.client.get(path)).json()["entry"]["key"] == key
    assert (await web.client.delete(path)).json()["deleted"] is True
    assert refused(await web.client.get(path)) == (404, "not_found")


@pytest.mark.every_server
async def test_a_slash_of_a_key_may_stand_as_it_is(call: Call, ns: str) -> None:
    web = call()
    await web.client.put(f"/v1/keys/a/b%2Fc?ns={ns}", json=1)
    assert (await web.ok("get", key="a/b/c"))["entry"]["value"] == 1


@pytest.mark.every_server
async def test_a_path_is_the_same_however_much_of_it_is_encoded(call: Call, ns: str) -> None:
    web = call()
    assert (await web.client.put(f"/v1/k%65ys/a%2Fb?ns={ns}", json=1)).status_code == 200
    assert [entry["key"] for entry in (await web.ok("list", pattern="*"))["entries"]] == ["a/b"]
    assert refused(await web.client.put(f"/v1/keys%2Fb?ns={ns}", json=1)) == (404, "not_found")


@pytest.mark.every_server
@pytest.mark.parametrize("path", ["%0A", "a%0A", "a%0Ab", "%FF", "", "%20a", "a" * 256])
async def test_an_invalid_key_is_refused(call: Call, path: str) -> None:
    assert refused(await call().client.put(f"/v1/keys/{path}", json=1)) == (400, "bad_request")


async def test_the_etag_of_an_entry_is_its_revision(call: Call, ns: str) -> None:
    web = call()
    path = f"/v1/keys/k?ns={ns}"
    written = await web.client.put(path, json=1, headers={"if-none-match": "*"})
    etag = written.headers["etag"]
    assert etag == f'"{written.json()["rev"]}"'
    assert refused(await web.client.put(path, json=2, headers={"if-none-match": "*"})) == (409, "conflict")
    assert (await web.client.get(path)).headers["etag"] == etag
    assert (await web.client.head(path)).headers["etag"] == etag
    same = await web.client.get(path, headers={"if-none-match": f'"1", {etag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    later = await web.client.put(path, json=2, headers={"if-match": etag})
    assert later.status_code == 200
    assert (await web.client.get(path, headers={"if-none-match": etag})).json()["entry"]["value"] == 2
    stale = await web.client.put(path, json=3, headers={"if-match": etag})
    assert stale.json()["error"]["current"]["value"] == 2
    assert refused(await web.client.delete(path, headers={"if-match": etag})) == (409, "conflict")
    assert (await web.client.delete(path, headers={"if-match": later.headers["etag"]})).json()["deleted"]


async def test_if_match_star_writes_over_and_never_anew(call: Call, ns: str) -> None:
    web = call()
    path, over = f"/v1/keys/k?ns={ns}", {"if-match": "*"}
    assert refused(await web.client.put(path, json=1, headers=over)) == (409, "conflict")
    await web.client.put(path, json=1)
    written = await web.client.put(path, json=2, headers=over)
    assert written.headers["etag"] == f'"{written.json()["rev"]}"'
    assert (await web.client.delete(path, headers=over)).json()["deleted"]


async def test_a_rid_has_its_effect_once_also_with_if_match_star(call: Call, ns: str) -> None:
    web = call("x")
    path = f"/v1/keys/k?ns={ns}"
    await web.client.put(path, json=1)
    written = [(await web.client.put(f"{path}&rid=r", json=2, headers={"if-match": "*"})).json() for _ in range(2)]
    assert written[1] == {**written[0], "dup": True}


async def test_a_rid_of_another_command_is_refused_and_no_fault(call: Call, ns: str) -> None:
    web = call("x")
    path = f"/v1/keys/k?ns={ns}&rid=r"
    await web.ok("lock", name="n", rid="r")
    assert refused(await web.client.put(path, json=1)) == (400, "bad_request")
    assert refused(await web.client.put(path, json=1, headers={"if-match": "*"})) == (400, "bad_request")


@pytest.mark.parametrize("txn", [
    {"if": [], "then": []},
    {"if": [], "then": [{"op": "publish", "channel": "c", "data": 1}]},
    {"if": [], "then": [{"op": "set", "key": "k", "value": 1}, {"op": "delete", "key": "k"}]},
    {"if": [{"key": "k", "exists": True}], "then": [], "else": [{"op": "set", "key": "k", "value": 1}]},
])  # fmt: skip
async def test_a_rid_of_a_txn_that_did_something_else_is_refused(call: Call, ns: str, txn: dict[str, Any]) -> None:
    web = call("x")
    await web.ok("txn", **txn, rid="r")
    for method in ("PUT", "DELETE"):
        answer = await web.client.request(
            method, f"/v1/keys/k?ns={ns}&rid=r", content=b"1", headers={**JSON, "if-match": "*"}
        )
        assert refused(answer) == (400, "bad_request")
        assert answer.json()["error"]["field"] == "rid"


@pytest.mark.parametrize("headers", [
    {"if-match": "x"}, {"if-match": '"1", "2"'}, {"if-none-match": '"1"'}, {"if-match": "1", "if-none-match": "*"},
    {"if-match": '"99999999999999999999"'},
])  # fmt: skip
async def test_a_condition_that_means_nothing_is_refused(call: Call, headers: dict[str, str]) -> None:
    assert refused(await call().client.put("/v1/keys/k", json=1, headers=headers)) == (400, "bad_request")


async def test_options_of_set_are_given_in_the_query(call: Call, ns: str) -> None:
    web = call("x")
    await web.client.put(f"/v1/keys/k?ns={ns}&ttl=60&kind=versioned", json=1)
    await web.client.put(f"/v1/keys/k?ns={ns}&keep_ttl=true&kind=versioned&rid=r", json=2)
    entry = (await web.ok("get", key="k"))["entry"]
    assert entry["expires_at"] - entry["created_at"] == pytest.approx(60, abs=0.01)
    assert len((await web.ok("history", key="k"))["entries"]) == 2
    token = (await web.ok("lock", name="k"))["token"]
    assert refused(await call("y").client.put(f"/v1/keys/k?ns={ns}", json=3)) == (409, "locked")
    assert (await call("y").client.put(f"/v1/keys/k?ns={ns}&guard={token}", json=3)).status_code == 200


@pytest.mark.parametrize("query", [
    "ttl=nan", "ttl=inf", "ttl=", "ttl=x", "ttl=0", "ttl=-1", "ttl=1&ttl=2", "tll=1", "kind=odd", "ephemeral=maybe",
    "guard=x", "ns=no%20spaces", "ns=$agents", "ephemeral=true&ttl=5", "rid=r", "rid=%FF",
    "&".join("a=b" for _ in range(1_001)),
])  # fmt: skip
async def test_a_query_that_means_nothing_is_refused(call: Call, query: str) -> None:
    answer = await call().client.put(f"/v1/keys/k?{query}", json=1)
    assert refused(answer) in ((400, "bad_request"), (403, "forbidden"))


async def test_an_unknown_parameter_is_refused_with_the_valid_ones(call: Call) -> None:
    answer = await call().client.delete("/v1/keys/k?gaurd=7")
    assert refused(answer) == (400, "bad_request")
    assert answer.json()["error"]["field"] == "gaurd"
    assert "ns, rid, guard" in answer.json()["error"]["message"]


async def test_a_list_comes_in_pages(call: Call, ns: str) -> None:
    web = call()
    for number in range(5):
        await web.ok("set", key=f"k{number}", value=number)
    found, after = [], None
    while True:
        params = {"ns": ns, "pattern": "k*", "limit": "2", "values": "false", **({"after": after} if after else {})}
        page = (await web.client.get("/v1/keys", params=params)).json()
        assert all("value" not in entry for entry in page["entries"])
        found += [entry["key"] for entry in page["entries"]]
        after = page["next"]
        if after is None:
            break
    assert found == [f"k{number}" for number in range(5)]


@pytest.mark.parametrize("query", ["", "&pattern=*", "&pattern=*&limit=100", "&pattern=*&limit=1"])
async def test_a_list_is_of_all_keys_where_its_pattern_is_a_star_or_left_out(call: Call, ns: str, query: str) -> None:
    web = call()
    await web.ok("set", key="k", value=1)
    page = (await web.client.get(f"/v1/keys?ns={ns}{query}")).json()
    assert [entry["key"] for entry in page["entries"]] == ["k"]


# --- what is refused ---


@pytest.mark.every_server
@pytest.mark.parametrize(
    "type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""]
)
async def test_a_form_writes_nothing(call: Call, ns: str, type: str) -> None:
    web = call("x")
    body, headers = b'{"key": "k", "value": 1}', {"content-type": type}
    for method, path in (("POST", "/v1/set"), ("PUT", "/v1/keys/k"), ("POST", "/v1/clear"), ("POST", "/v1/import")):
        answer = await web.client.request(method, f"{path}?ns={ns}", content=body, headers=headers)
        assert refused(answer) == (400, "bad_request")
    assert (await web.ok("list", pattern="*"))["entries"] == []


@pytest.mark.every_server
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"key": "k"', b"null", b'{"key": "\xff", "value": 1}', b"\x00",
                                  b'{"key": "k", "value": ' + b"[" * 50_000, b'{"key":"k","value":1} {}'])  # fmt: skip
async def test_a_body_that_is_no_command_is_refused(call: Call, body: bytes) -> None:
    web = call()
    assert refused(await web.client.post("/v1/set", content=body, headers=JSON)) == (400, "bad_request")
    if body != b"null":
        answer = await web.client.put("/v1/keys/k", content=body[22:] or b"", headers=JSON)
        assert answer.status_code in (200, 400)


@pytest.mark.parametrize("body", [b'1, "ttl": 5', b'1}, {"a": 1', b"", b"1 2", b'"\xff"', b"nul"])
async def test_a_value_brings_no_fields_of_its_own(call: Call, body: bytes) -> None:
    answer = await call().client.put("/v1/keys/k", content=body, headers=JSON)
    assert refused(answer) == (400, "bad_request")


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_body_that_is_too_long_is_refused_unread(call: Call) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 2**20

    web = call()
    assert refused(await web.client.post("/v1/set", content=b" " * (17 * 2**20), headers=JSON)) == (413, "too_large")
    assert refused(await web.client.post("/v1/set", content=endless(), headers=JSON)) == (413, "too_large")
    assert await web.ok("ping")


@pytest.mark.every_server
async def test_paths_and_methods_that_are_not_there_are_refused_in_the_same_shape(call: Call) -> None:
    client = call().client
    for path in ("/v1", "/v1/", "/v1/sett", "/v1/hello", "/v1/subscribe", "/v1/set%0A", "/nothing", "/v1/keys2"):
        assert refused(await client.post(path, json={})) == (
            (405, "bad_request") if path == "/nothing" else (404, "not_found")
        )
    assert refused(await client.get("/nothing")) == (404, "not_found")
    for method, path, allowed in (("GET", "/v1/set", "POST"), ("PATCH", "/v1/keys/k", "DELETE, GET, HEAD, PUT"),
                                  ("POST", "/v1/events", "GET"), ("OPTIONS", "/v1/keys", "GET, HEAD")):  # fmt: skip
        answer = await client.request(method, path)
        assert refused(answer) == (405, "bad_request")
        assert answer.headers["allow"] == allowed


async def test_a_name_that_is_none_is_refused(hub: HubProcess) -> None:
    for name in ("", "$hub", "x" * 101, b"\xff", "a\tb"):
        async with httpx.AsyncClient(verify=False, base_url=hub.url) as client:
            headers: Any = {b"x-waggle-agent": name if isinstance(name, bytes) else name.encode()}
            assert refused(await client.post("/v1/ping", json={}, headers=headers)) == (400, "bad_request")
            twice = [("x-waggle-agent", "a"), ("x-waggle-agent", "b")]
            assert refused(await client.post("/v1/ping", json={}, headers=twice)) == (400, "bad_request")


@pytest.mark.every_server
async def test_a_name_may_be_of_any_script(hub: HubProcess) -> None:
    async with httpx.AsyncClient(verify=False, base_url=hub.url) as client:
        headers: Any = {b"x-waggle-agent": "агент ü".encode()}
        await client.post("/v1/set", json={"key": "script", "value": 1}, headers=headers)
        assert (await client.get("/v1/keys/script")).json()["entry"]["by"] == "агент ü"


@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"}, {"host": "evil.example"}, {"origin": "null"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
])  # fmt: skip
async def test_a_browser_from_elsewhere_is_refused(hub: HubProcess, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(verify=False, base_url=hub.url) as client:
        for method, path in (("GET", "/v1/keys"), ("PUT", "/v1/keys/k"), ("GET", "/v1/events"), ("OPTIONS", "/v1/set"),
                             ("POST", "/v1/ping"), ("GET", "/metrics")):  # fmt: skip
            answer = await client.request(method, path, headers={**headers, **JSON}, content=b"1")
            assert refused(answer) == (403, "forbidden")
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.every_server
async def test_an_allowed_page_asks_first_and_may_read(start_hub: StartHub) -> None:
    hub = start_hub(options=["--allow-origin", "https://app.example"])
    origin = {"origin": "https://app.example"}
    async with httpx.AsyncClient(verify=False, base_url=hub.url) as client:
        asked = {**origin, "access-control-request-method": "PUT", "access-control-request-headers": "content-type"}
        first = await client.options("/v1/keys/k", headers=asked)
        assert first.status_code == 204
        assert "PUT" in first.headers["access-control-allow-methods"]
        answer = await client.put("/v1/keys/k", json=1, headers=origin)
        assert answer.headers["access-control-allow-origin"] == origin["origin"]
        assert refused(await client.get("/v1/keys", headers={"origin": "https://other.example"})) == (403, "forbidden")
        assert "access-control-allow-origin" not in (await client.get("/v1/keys")).headers


async def test_an_allowed_page_may_send_what_the_doors_read(start_hub: StartHub) -> None:
    hub = start_hub(options=["--allow-origin", "https://app.example"])
    async with httpx.AsyncClient(verify=False, base_url=hub.url, headers={"origin": "https://app.example"}) as client:
        first = await client.options("/mcp", headers={"access-control-request-method": "POST"})
        allowed = set(first.headers["access-control-allow-headers"].split(", "))
    assert allowed >= {"x-waggle-agent", "x-waggle-ns", "x-waggle-limit", "if-match", "last-event-id", "content-type"}
    assert allowed >= {"mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"}


# --- what a process should give ---


@pytest.mark.every_server
async def test_a_hub_answers_that_it_is_alive_and_ready(call: Call) -> None:
    client = call().client
    assert (await client.get("/healthz")).json() == {"ok": True}
    assert (await client.get("/readyz")).json() == {"ok": True}
    assert (await client.head("/readyz")).content == b""


async def test_metrics_count_what_was_done(call: Call) -> None:
    web = call("x")
    await web.ok("set", key="k", value=1)
    text = (await web.client.get("/metrics")).text
    assert 'waggle_commands_total{op="set"}' in text
    assert "waggle_sessions " in text
    assert "# TYPE waggle_expiries_total counter" in text


@pytest.mark.every_server
async def test_a_stopping_hub_answers_waiting_calls(start_hub: StartHub) -> None:
    hub = start_hub()
    web = Web(hub, "x")
    waiting = asyncio.create_task(web.post("wait", all=[{"key": "k"}], timeout=60))
    await until_waiting(hub)
    stopping = asyncio.create_task(asyncio.to_thread(hub.stop))
    answer = await waiting
    assert refused(answer) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert await stopping == 0
    await web.close()

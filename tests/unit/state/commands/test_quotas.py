"""Quotas of namespaces, and their default ttl."""

from __future__ import annotations

import pytest

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire.errors import LimitReached
from waggle_hub.settings import Limits, Quota


def harness(**limits: object) -> MachineHarness:
    found = MachineHarness(Limits(**limits))  # type: ignore[arg-type]
    found.open_session("a", ns="work")
    return found


def test_a_namespace_holds_no_more_keys_than_its_quota() -> None:
    hub = harness(quotas={"work": Quota(keys=2)})
    hub.do("a", "set", key="one", value=1)
    hub.do("a", "set", key="two", value=1)
    with pytest.raises(LimitReached) as refused:
        hub.do("a", "set", key="three", value=1)
    assert refused.value.details["limit"] == 2
    assert "work" in refused.value.message
    hub.do("a", "set", key="two", value="written over")
    hub.do("a", "set", key="three", value=1, ns="other")
    hub.do("a", "delete", key="one")
    hub.do("a", "set", key="three", value=1)


def test_a_namespace_holds_no_more_bytes_than_its_quota() -> None:
    hub = harness(quotas={"work": Quota(bytes=20)})
    hub.do("a", "set", key="k", value="x" * 17)
    with pytest.raises(LimitReached):
        hub.do("a", "set", key="k", value="x" * 18)
    with pytest.raises(LimitReached):
        hub.do("a", "update", key="l", merge={"some": "thing"})
    hub.do("a", "set", key="k", value="x")


def test_a_quota_for_every_namespace_does_not_apply_to_named_and_hub_namespaces() -> None:
    hub = harness(quotas={"*": Quota(keys=0), "work": Quota()})
    hub.do("a", "set", key="k", value=1)
    with pytest.raises(LimitReached):
        hub.do("a", "set", key="k", value=1, ns="other")
    hub.open_session("b")


def test_an_entry_set_without_a_ttl_gets_the_default_of_its_namespace() -> None:
    hub = harness(default_ttls={"*": 60.0, "work": 10.0})
    assert hub.do("a", "set", key="k", value=1).expires_at == hub.now + 10
    assert hub.do("a", "set", key="k", value=1, ns="other").expires_at == hub.now + 60
    assert hub.do("a", "set", key="k", value=1, ttl=5).expires_at == hub.now + 5
    assert hub.do("a", "touch", key="k", ttl=None).expires_at is None
    assert hub.do("a", "set", key="k", value=2, keep_ttl=True).expires_at is None
    assert hub.do("a", "update", key="k", incr=1).expires_at is None
    assert hub.do("a", "update", key="new", incr=1).expires_at == hub.now + 10

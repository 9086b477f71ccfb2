"""A lease never lasts longer than at the hub, and its loss has a reason."""

from __future__ import annotations

from typing import Any

import pytest

from waggle.core.lease import Lease, granted_at, to_guard
from waggle.wire.errors import BadRequest, LockLost
from waggle.wire.messages import Granted, Guard


def grant(waited: float) -> Granted:
    return Granted(token=1, mode="exclusive", expires_at=0.0, waited=waited)


def test_nothing_is_certain_before_the_hub_has_said_so() -> None:
    assert Lease("a", 1, 30.0).deadline == float("-inf")


def test_a_lease_counts_from_the_request_and_not_from_the_reply() -> None:
    lease = Lease("a", 1, 9.0)
    lease.confirm(100.0, grace=15.0)
    assert (lease.deadline, lease.renew_at) == (109.0, 103.0)


def test_a_hub_that_does_not_hear_of_us_ends_the_session_before_a_long_ttl() -> None:
    lease = Lease("a", 1, 3600.0)
    lease.confirm(100.0, grace=15.0)
    assert (lease.deadline, lease.renew_at) == (115.0, 105.0)


def test_what_was_waited_for_counts_from_the_grant_and_never_later() -> None:
    assert granted_at(grant(5.0), 100.0) == pytest.approx(104.999)
    assert granted_at(grant(0.0), 100.0) == 100.0


def test_the_first_reason_stays() -> None:
    lease = Lease("the lock on 'a'", 7, 30.0)
    lease.check()
    lease.mark_lost("forced", "b freed it: stuck")
    lease.mark_lost("expired")
    with pytest.raises(LockLost, match=r"the lock on 'a' \(token 7\).*by force \(b freed it: stuck\)") as lost:
        lease.check()
    assert (lost.value.reason, lost.value.details["token"]) == ("forced", 7)
    assert lost.value is not lease.lost, "each raise has its own traceback"


class Grip:
    def __init__(self, error: LockLost | None = None) -> None:
        self.token, self._error = 7, error

    def check(self) -> None:
        if self._error is not None:
            raise self._error


def test_a_guard_is_a_lock_a_job_or_a_token() -> None:
    assert to_guard(None) is None
    assert to_guard(7) == to_guard(Grip()) == Guard(7)
    with pytest.raises(LockLost):
        to_guard(Grip(LockLost("gone")))


@pytest.mark.parametrize("nonsense", ["a", True, 1.5, {"token": 7}])
def test_nothing_else_is_one(nonsense: Any) -> None:
    with pytest.raises(BadRequest, match="lock, a job or a token"):
        to_guard(nonsense)

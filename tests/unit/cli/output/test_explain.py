"""Why something waits, in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from waggle.cli.output.explain import Reasons, describe_condition, describe_progress, explain_refusal, join_words
from waggle.cli.output.format import time_of_day
from waggle.wire.messages import Awaited, HeldLock, Holder, Inspection, SeenSession, SeenWait, Waiter, Where

NOW = 1000.0
UNTIL = time_of_day(1003.0)[:8]


def held(agent: str, *names: str, queue: tuple[SeenWait, ...] = (), **fields: Any) -> HeldLock:
    waiters = [Waiter(agent=one.agent, session=one.session, mode="exclusive", since=one.since) for one in queue]
    known: dict[str, Any] = {"names": list(names), "mode": "exclusive", "ns": "default", **fields}
    known |= {"session": f"s-{agent}", "token": 7, "since": 990.0, "expires_at": 1003.0, "queue": waiters}
    return HeldLock(agent=agent, **known)


def holder(lock: HeldLock) -> Holder:
    known = {name: getattr(lock, name) for name in ("agent", "session", "mode", "since", "expires_at")}
    return Holder(**known, self=False, names=lock.names, patterns=lock.patterns)


def waits(agent: str, *names: str, op: str = "lock", by: tuple[HeldLock, ...] = (), **fields: Any) -> SeenWait:
    known: dict[str, Any] = {"until": None, "since": 988.0, "ns": "default", **fields}
    if op == "lock":
        known |= {"mode": "exclusive", **fields, "blocked_by": [holder(one) for one in by]}
        known |= {"names": list(names)} if "patterns" not in fields else {}
    return SeenWait(op=op, id=1, agent=agent, session=f"s-{agent}", **known)


def seen(*waits: SeenWait, locks: tuple[HeldLock, ...] = (), away: str = "") -> Inspection:
    sessions = [
        SeenSession(f"s-{name}", name, "default", name != away, 900.0, 1008.0 if name == away else None, 0, 0, 0, 0)
        for name in {one.agent for one in waits} | {one.agent for one in locks}
    ]
    return Inspection(1, NOW, sessions, list(locks), list(waits), [], [])


def told(wait: SeenWait, *others: SeenWait, locks: tuple[HeldLock, ...] = (), away: str = "") -> str:
    return Reasons(seen(wait, *others, locks=locks, away=away)).sentence(wait)


# --- locks -------------------------------------------------------------------------------------------------------


def test_a_lock_wait_is_explained_with_its_holder_and_deadline() -> None:
    lock = held("impl-2", "src/a.py")
    assert told(waits("impl-1", "src/a.py", by=(lock,)), locks=(lock,)) == (
        f"impl-1 waits for src/a.py since 12s: impl-2 holds it until {UNTIL} (3.0s more)"
    )


def test_a_holder_that_is_away_is_said_to_be() -> None:
    lock = held("impl-2", "a")
    assert told(waits("impl-1", "a", by=(lock,)), locks=(lock,), away="impl-2").endswith(
        "(3.0s more), is away, with 8.0s to come back"
    )


def test_a_holder_that_waits_is_followed_as_far_as_it_leads() -> None:
    first, second = held("impl-2", "a"), held("impl-3", "b")
    chain = waits("impl-2", "b", by=(second,), since=995.0)
    assert told(waits("impl-1", "a", by=(first,)), chain, locks=(first, second)) == (
        f"impl-1 waits for a since 12s: impl-2 holds it until {UNTIL} (3.0s more), and waits for b since 5s: "
        f"impl-3 holds it until {UNTIL} (3.0s more)"
    )


def test_a_deadlock_cycle_is_named_and_ends_the_sentence() -> None:
    first, second = held("one", "a"), held("two", "b")
    circle = waits("one", "b", by=(second,))
    assert told(waits("two", "a", by=(first,)), circle, locks=(first, second)).endswith("which is a deadlock")
    own = held("one", "a")
    assert told(waits("one", "a", by=(own,)), locks=(own,)).endswith("which is a deadlock")


def test_a_held_lock_is_named_if_it_differs_from_the_wanted_one() -> None:
    lock = held("impl-2", names=None, patterns=["src/*"], mode="shared")
    sentence = told(waits("impl-1", "src/a.py", "doc", by=(lock,), ns="demo"), locks=(lock,))
    assert sentence.startswith(
        "impl-1 waits for src/a.py and doc in namespace demo since 12s: impl-2 holds all of src/*"
    )
    assert ", shared, until" in sentence


def test_earlier_waiters_are_counted() -> None:
    first = waits("impl-3", "a", since=980.0)
    second = waits("impl-1", "a", by=(held("impl-2", "a"),))
    lock = held("impl-2", "a", queue=(first, second))
    assert told(second, first, locks=(lock,)).endswith("; 1 asked before and waits")
    alone = waits("impl-1", "a")
    assert told(alone).endswith(": it is not its turn yet")


def test_why_a_lock_is_not_granted_says_since_when_and_until_when() -> None:
    locks = [holder(held(f"impl-{n}", "a", mode="shared")) for n in range(5)]
    since = time_of_day(990.0)[:8]
    assert explain_refusal("a", locks[:1], 2, NOW) == (
        f"impl-0 holds it, shared, since {since}, until {UNTIL} (3.0s more) if it is not renewed; "
        "2 asked before and wait"
    )
    assert explain_refusal("a", locks, 0, NOW).endswith("; 2 more hold some of it")


# --- conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (Awaited(key="k"), "k is there"),
        (Awaited(key="k", absent=True), "k is gone"),
        (Awaited(key="k", unlocked=True), "k is not locked"),
        (Awaited(key="k", unlocked=True, absent=True), "k is gone and not locked"),
        (Awaited(key="k", where=Where(pointer="/n", op="ge", value=3)), "k has /n >= 3"),
        (Awaited(key="k", where=Where(value="done")), 'k has a value == "done"'),
        (Awaited(key="k", where=Where(pointer="/error", op="exists")), "k has /error"),
        (Awaited(key="k", where=Where(pointer="/error", op="exists", value=False)), "k has no /error"),
        (Awaited(key="k", absent=True, where=Where(pointer="/n", value=1)), "k is gone or has not /n == 1"),
        (Awaited(key="k", since=7), "k is there, written after rev 7"),
        (Awaited(key="k", ns="demo"), "k is there in namespace demo"),
        (Awaited(pattern="r*"), "one of r* is there"),
        (Awaited(pattern="r*", count=3), "3 of r* are there"),
        (Awaited(pattern="r*", count=3, where=Where(pointer="/n", op="in", value=[1])), "3 of r* have /n in [1]"),
        (Awaited(pattern="r*", absent=True), "nothing of r* is there"),
        (Awaited(pattern="r*", unlocked=True), "nothing of r* is locked"),
        (Awaited(pattern="r*", unlocked=True, absent=True), "nothing of r* is there or locked"),
    ],
)
def test_a_condition_is_a_clause(condition: Awaited, said: str) -> None:
    assert describe_condition(condition) == said


def test_of_several_conditions_it_says_which_are_met() -> None:
    conditions = [Awaited(key=key) for key in "abc"]
    assert describe_progress(conditions, [1]) == "met: b is there; not yet: a is there and c is there"
    wait = waits("impl-1", op="wait", all=conditions, met=[1], until=1020.0)
    assert told(wait) == (
        "impl-1 waits since 12s, and 20s more at most, until all of 3 hold"
        " (met: b is there; not yet: a is there and c is there)"
    )
    assert told(waits("impl-1", op="wait", any=conditions[:1], met=[])) == "impl-1 waits since 12s until a is there"


@pytest.mark.parametrize(
    ("condition", "lock", "told_of"),
    [
        (Awaited(key="a", unlocked=True), held("impl-2", "a"), True),
        (Awaited(key="a", unlocked=True), held("impl-2", "b"), False),
        (Awaited(key="a", unlocked=True), held("impl-2", names=None, patterns=["?"]), True),
        (Awaited(pattern="a*", unlocked=True), held("impl-2", "ab"), True),
        (Awaited(pattern="a*", unlocked=True), held("impl-2", names=None, patterns=["a*"]), True),
        (Awaited(key="a", unlocked=True), held("impl-2", "a", ns="other"), False),
        (Awaited(key="a"), held("impl-2", "a"), False),
    ],
)
def test_a_wait_for_unlocked_keys_names_the_holder(condition: Awaited, lock: HeldLock, told_of: bool) -> None:
    sentence = told(waits("impl-1", op="wait", all=[condition], met=[]), locks=(lock,))
    assert (": impl-2 holds" in sentence) == told_of


# --- the rest ----------------------------------------------------------------------------------------------------


def test_an_idle_worker_is_listed_and_not_stuck() -> None:
    wait = waits("w", op="take", patterns=["job:*", "task:*"])
    assert told(wait) == "w is ready for work on job:* and task:* since 12s"


def test_a_sentence_names_the_waiter_and_the_holder() -> None:
    lock = held("impl-2", "a")
    wait = waits("impl-1", "a", by=(lock,))
    assert Reasons(seen(wait, locks=(lock,))).agents(wait) == {"impl-1", "impl-2"}


def test_values_of_agents_cannot_control_the_terminal() -> None:
    lock = held("\x1b[2J", "\x1b[3J")
    wait = waits("\x1b[1J", "\x1b[3J", by=(lock,))
    key = waits("a", op="wait", all=[Awaited(key="\x1b", where=Where(pointer="/\x1b", value="\x1b"))], met=[])
    assert "\x1b" not in told(wait, locks=(lock,)) + told(key)


def test_an_enumeration_is_cut_where_it_is_long() -> None:
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b"]) == "a and b"
    assert join_words(list("abcd")) == "a, b, c and d"
    assert join_words(list("abcdef")) == "a, b, c and 3 more"

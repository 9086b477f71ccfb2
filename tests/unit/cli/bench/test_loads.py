"""The loads of `waggle bench` end: by time, or because they have done enough."""

from __future__ import annotations

from waggle.cli.bench.loads import LOADS, MAX_EVENTS, Sizes, Times
from waggle_hub.settings import Settings


def test_a_load_ends_when_its_time_is_over() -> None:
    assert not Times(seconds=0.0, events=1000).go_on()


def test_a_load_ends_when_it_has_made_its_events() -> None:
    times = Times(seconds=3600.0, events=3)
    assert [times.go_on() for _ in range(5)] == [True, True, True, False, False]


def test_a_run_leaves_half_of_the_log_to_others() -> None:
    assert Settings().limits.log_events >= MAX_EVENTS * 2


def test_the_titles_of_the_loads_tell_their_sizes() -> None:
    titles = [load.title(Sizes(at_once=7, connections=8, subscribers=9)) for load in LOADS.values()]
    assert titles[1:3] == ["7 sets at a time", "sets from 8 connections"]
    assert titles[4] == "fan-out to 9 subscribers"

"""The sample crew's own rules; that it works, in processes and in the right order, is `tests/e2e/test_demo.py`."""

from __future__ import annotations

import pytest

from waggle.examples.crew import Job, number


def test_a_crew_leaves_the_builds_of_others_alone() -> None:
    job = Job(first=4, builds=2)
    assert [build for build in range(10) if job.includes(build)] == [4, 5]
    assert [build for build in (4, 5) if job.ends_with(build)] == [5]


def test_without_a_number_of_builds_there_is_no_end() -> None:
    job = Job(first=4)
    assert not job.includes(3)
    assert job.includes(1_000_000)
    assert not job.ends_with(1_000_000)


@pytest.mark.parametrize("key", ["build/7/research/findings", "build/7/builders/user-service/complete"])
def test_the_build_that_a_key_belongs_to(key: str) -> None:
    assert number(key) == 7

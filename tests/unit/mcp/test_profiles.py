"""The profiles that there are, and what holds for each of them."""

from __future__ import annotations

import pytest

from waggle.mcp import PROFILES
from waggle.mcp.profiles import make_profile
from waggle.wire.errors import Unavailable


@pytest.mark.parametrize("name", PROFILES)
def test_each_has_tools_of_its_own_and_says_honestly_what_they_do(name: str) -> None:
    profile = make_profile(name)
    names = [tool.name for tool in profile.tools]
    assert names
    assert len(set(names)) == len(names)
    assert profile.instructions
    for tool in profile.tools:
        assert tool.description
        assert tool.input_schema["type"] == "object"
        assert tool.annotations is not None
        assert tool.annotations.open_world_hint is False
        assert not (tool.annotations.read_only_hint and tool.annotations.destructive_hint)


@pytest.mark.parametrize("name", PROFILES)
def test_a_missing_hub_is_an_error_that_says_so(name: str) -> None:
    answer = make_profile(name).refused(Unavailable("the hub is away"))
    assert "the hub is away" in answer.text


def test_there_is_none_of_another_name() -> None:
    with pytest.raises(KeyError):
        make_profile("redis")

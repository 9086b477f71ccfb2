"""Times as people type them, read by the hub's options and the command line's."""

from __future__ import annotations

import pytest

from waggle.wire.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("30", 30), ("1.5", 1.5), (".5", 0.5), ("500ms", 0.5), ("10m", 600), ("12h", 43_200), ("7d", 604_800)],
)
def test_a_time_is_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "1e999", "10 m", "10M", "m", "1.5.5", "\u0663"])
def test_a_text_that_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="30s, 10m, 12h, 7d"):
        parse_duration(text)

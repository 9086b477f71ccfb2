"""The options of `waggle serve`: times and sizes, accepted and refused."""

from __future__ import annotations

import pytest

from waggle_hub.cli_options import parser


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("500ms", 0.5), ("10m", 600), ("12H", 43_200), ("7d", 604_800)]
)
def test_a_time_is_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    assert parser().parse_args(["--idle", text]).idle == seconds


@pytest.mark.parametrize(("text", "size"), [("5", 5), ("1k", 1024), ("1.5kb", 1536), ("512m", 2**29), ("2gib", 2**31)])
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int) -> None:
    assert parser().parse_args(["--max-bytes", text]).max_bytes == size


@pytest.mark.parametrize("option", ["--idle", "--max-bytes"])
@pytest.mark.parametrize("text", ["", "0", "-1", "soon", "1x", "nan", "1 m"])
def test_a_time_or_a_size_that_is_not_valid_is_refused(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([f"{option}={text}"])
    assert "is not a" in capsys.readouterr().err

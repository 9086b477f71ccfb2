"""Messages as they are shown."""

from __future__ import annotations

from waggle.cli.commands.inbox import ShownMessage, message_row, message_text
from waggle.cli.output.format import iso_time


def test_a_message_for_programs_is_a_line_with_its_body_as_json() -> None:
    assert message_row(ShownMessage("impl-1", 5.0, "two\nlines", False)) == [iso_time(5.0), "impl-1", '"two\\nlines"']


def test_a_message_is_shown_below_its_sender() -> None:
    at = iso_time(5.0)[:19].replace("T", " ")
    assert message_text(ShownMessage("impl-1", 5.0, "two\nlines", False)) == f"{at} impl-1:\n  two\n  lines"
    assert (
        message_text(ShownMessage("impl-1", 5.0, {"n": 1}, True))
        == f'{at} impl-1, who waits for an answer:\n  {{"n":1}}'
    )


def test_values_of_agents_cannot_control_the_terminal() -> None:
    assert "\x1b" not in message_text(ShownMessage("\x1b[1J", 5.0, "\x1b[2J", False))

"""`waggle send` and `waggle inbox`: messages that wait for their reader."""

from __future__ import annotations

import json

import pytest

import waggle.sync
from tests.e2e.cli.shell import Running, Shell

pytestmark = pytest.mark.e2e


def test_a_message_waits_until_it_is_read_and_not_longer(shell: Shell) -> None:
    sent = shell("send", "reader", "please", "look", "--agent", "me")
    assert sent.returncode == 0
    assert sent.stdout.startswith("reader: was never connected; the message waits ")
    shell("send", "reader", '{"file": "a"}', "--agent", "me")
    for look in (("--peek",), ()):
        read = shell("inbox", "--agent", "reader", *look)
        assert (read.returncode, read.stderr) == (0, "")
        rows = [line.split("\t")[1:] for line in read.stdout.splitlines()]
        assert rows == [["me", '"please look"'], ["me", '{"file":"a"}']]
    nothing = shell("inbox", "--agent", "reader")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no message for reader" in nothing.stderr


def test_the_sender_learns_whether_the_recipient_is_here(shell: Shell, agent: waggle.sync.Hub) -> None:
    assert shell("send", agent.agent, "hi").stdout == f"{agent.agent}: is connected, and has it in its inbox\n"
    message = agent.inbox().receive(timeout=10)
    assert message.body == "hi"
    assert json.loads(shell("send", agent.agent, "hi", "--json", "--ttl", "forever").stdout)["expires_at"] is None


@pytest.mark.parametrize(
    ("said", "options", "stdin", "body"),
    [("42", (), "", 42), ("42", ("--text",), "", "42"), ("-", (), '{"n": 1}\n', {"n": 1}), ("-", (), "a\nb\n", "a\nb")],
)
def test_a_message_is_json_if_it_parses_and_else_text(
    shell: Shell, agent: waggle.sync.Hub, said: str, options: tuple[str, ...], stdin: str, body: object
) -> None:
    assert shell("send", agent.agent, said, *options, stdin=stdin).returncode == 0
    assert agent.inbox().receive(timeout=10).body == body


def test_inbox_waits_for_each_next_message(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Running(env, "inbox", "--agent", "reader", "--follow", "--count", "2", "--json") as reading:
        for n in range(2):
            agent.send("reader", n)
            message = json.loads(reading.line())
            assert (message["from"], message["body"], message["question"]) == (agent.agent, n, False)
        assert reading.end() == (0, "")
    assert agent.list("inbox:*") == []


def test_only_so_many_are_read(shell: Shell, agent: waggle.sync.Hub) -> None:
    for n in range(3):
        agent.send("reader", n)
    assert len(shell("inbox", "--agent", "reader", "--count", "1").stdout.splitlines()) == 1
    assert len(shell("inbox", "--agent", "reader", "--timeout", "10").stdout.splitlines()) == 2


def test_a_message_that_was_not_read_stays(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    """As in `waggle inbox --follow | head -1`."""
    with Running(env, "inbox", "--agent", "reader", "--follow") as reading:
        agent.send("reader", 1)
        assert reading.line().endswith("\t1\n")
        reading.output.close()
        agent.send("reader", 2)
        assert reading.end() == (0, "")
    assert [entry.value["body"] for entry in agent.list("inbox:*")] == [2]


def test_inbox_needs_an_agent(shell: Shell) -> None:
    refused = shell("inbox")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "WAGGLE_AGENT" in refused.stderr

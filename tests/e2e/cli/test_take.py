"""`waggle take`: a job for one program at a time."""

from __future__ import annotations

import json
import signal

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE, Running, Shell

pytestmark = pytest.mark.e2e

SAY = 'echo "$WAGGLE_KEY $WAGGLE_VALUE $WAGGLE_DELIVERY"'


def test_a_job_that_is_done_is_gone(process: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("job:2", "later")
    agent.delete("job:2")
    agent.set("job:1", {"n": 1})
    agent.set("job:2", "later")
    done = process("take", "job:*", "--", "sh", "-c", SAY)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'job:1 {"n":1} 1\n', "")
    assert [entry.key for entry in agent.list()] == ["job:2"]
    assert agent.locks() == []


def test_the_entry_is_on_standard_input(process: Shell, agent: waggle.sync.Hub) -> None:
    written = agent.set("job:1", {"n": [1, "ü"]})
    entry = json.loads(process("take", "job:*", "other:*", "--", "cat").stdout)
    assert (entry["key"], entry["value"], entry["rev"]) == ("job:1", {"n": [1, "ü"]}, written.rev)


def test_a_job_that_failed_is_given_back_with_the_code_of_the_program(process: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("job:1", 1)
    failed = process("take", "job:*", "--", "sh", "-c", f"{SAY}; exit 7")
    assert (failed.returncode, failed.stdout) == (7, "job:1 1 1\n")
    assert "job:1: given back" in failed.stderr
    assert process("take", "job:*", "--", "sh", "-c", SAY).stdout == "job:1 1 2\n"


def test_nothing_to_take_is_a_plain_no(process: Shell, agent: waggle.sync.Hub) -> None:
    for options in ((), ("--timeout", "0.1"), ("--loop", "--timeout", "0.1")):
        nothing = process("take", "job:*", *options, "--", "echo", "not run")
        assert (nothing.returncode, nothing.stdout) == (1, "")
        assert "nothing to take" in nothing.stderr


def test_without_a_program_it_shows_how(process: Shell) -> None:
    refused = process("take", "job:*")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "waggle take" in refused.stderr


def test_take_in_a_loop_runs_one_job_after_another_until_none_comes(process: Shell, agent: waggle.sync.Hub) -> None:
    for n in range(3):
        agent.set(f"job:{n}", n)
    done = process("take", "job:*", "--loop", "--timeout", "0.2", "--", "sh", "-c", SAY)
    assert (done.returncode, done.stdout) == (0, "job:0 0 1\njob:1 1 1\njob:2 2 1\n")


def test_take_waits_for_work(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Running(env, "take", "job:*", "--loop", "--agent", "w", "--", "sh", "-c", SAY) as worker:
        agent.wait("w", ns="$agents")
        for n in range(2):
            agent.set(f"job:{n}", n)
            assert worker.line() == f"job:{n} {n} 1\n"
        agent.wait(pattern="job:*", absent=True)
        worker.process.send_signal(signal.SIGTERM)
        assert worker.end() == (-signal.SIGTERM, "")


def test_a_worker_told_to_end_gives_back_its_unfinished_job(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("job:1", 1)
    with Running(env, "take", "job:*", "--loop", "--", "sh", "-c", "echo begun; exec sleep 60") as worker:
        assert worker.line() == "begun\n"
        worker.process.send_signal(signal.SIGTERM)
        code, said = worker.end()
    assert code == -signal.SIGTERM
    assert "given back" in said
    assert agent.get("job:1")
    assert agent.locks() == []


def test_a_worker_told_to_end_finishes_its_job_if_the_program_does(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("job:1", 1)
    agent.set("job:2", 2)
    script = "trap 'exit 0' TERM; echo begun; while :; do sleep 0.05; done"
    with Running(env, "take", "job:*", "--loop", "--", "sh", "-c", script) as worker:
        assert worker.line() == "begun\n"
        worker.process.send_signal(signal.SIGTERM)
        assert worker.end()[0] == -signal.SIGTERM
    assert [entry.key for entry in agent.list()] == ["job:2"]


def test_a_job_that_fails_too_often_is_put_away(process: Shell, agent: waggle.sync.Hub, ns: str) -> None:
    agent.set("job:1", 1)
    for _ in range(2):
        assert process("take", "job:*", "--max-deliveries", "2", "--", "false").returncode == 1
    assert "nothing to take" in process("take", "job:*", "--max-deliveries", "2", "--", "false").stderr
    assert agent.get("job:1") is None
    assert [entry.value for entry in agent.list(f"{ns}:*", ns="$dead")] == [1]


def test_a_program_may_write_its_job_and_delete_it_itself(process: Shell, agent: waggle.sync.Hub) -> None:
    agent.set("job:1", {})
    script = (
        f"{WAGGLE} update $WAGGLE_KEY --merge '{{\"n\": 1}}' && {WAGGLE} delete $WAGGLE_KEY && sleep 0.3 && echo end"
    )
    done = process("take", "job:*", "--", "sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("deleted\nend\n")


def test_a_job_that_is_taken_away_ends_its_program(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    agent.set("job:1", 1)
    with Running(env, "take", "job:*", "--", "sh", "-c", "echo begun; exec sleep 60") as worker:
        assert worker.line() == "begun\n"
        agent.unlock("job:1", force="for a test")
        code, said = worker.end()
    assert code == -signal.SIGTERM
    assert "for a test" in said
    assert agent.get("job:1")

"""`waggle lock`, `locks` and `unlock`, and what a lock means for the commands that write."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

import waggle.sync
from tests.e2e.cli.shell import SOON, WAGGLE, Restarting, Running, Shell, Terminal

pytestmark = pytest.mark.e2e

STAY = ("sh", "-c", "echo begun; exec sleep 60")


def holding(env: dict[str, str], *args: str, command: tuple[str, ...] = STAY) -> Running:
    return Running(env, "lock", *args, "--", *command)


def gone(pid: int) -> bool:
    """Whether a process has ended, or will have soon."""
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


# --- holding -----------------------------------------------------------------------------------------------------


def test_a_lock_is_held_exactly_while_its_command_runs(process: Shell, agent: waggle.sync.Hub) -> None:
    inside = process("lock", "src/a.py", "b", "--agent", "me", "--", WAGGLE, "locks", "--json")
    assert inside.returncode == 0, inside.stderr
    held = json.loads(inside.stdout)
    assert (held["names"], held["agent"], held["mode"]) == (["src/a.py", "b"], "me", "exclusive")
    assert agent.locks() == []


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", -signal.SIGTERM)],
)
def test_the_exit_code_is_that_of_the_command(process: Shell, command: str, code: int) -> None:
    done = process("lock", "a", "--", "sh", "-c", command)
    assert (done.returncode, done.stderr) == (code, "")


def test_a_command_that_there_is_not_is_an_error_before_anything_is_locked(
    process: Shell, agent: waggle.sync.Hub
) -> None:
    with agent.lock("a"):
        missing = process("lock", "a", "--wait", "60", "--", "no-such-program-at-all")
    assert (missing.returncode, missing.stdout) == (127, "")
    assert "no-such-program-at-all" in missing.stderr


def test_without_a_command_it_shows_how(process: Shell) -> None:
    refused = process("lock", "a")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "waggle lock src/a.py -- make test" in refused.stderr


def test_words_after_two_hyphens_are_the_command(process: Shell) -> None:
    done = process("lock", "a", "--shared", "--", "echo", "--json", "--", "-x", "b")
    assert (done.returncode, done.stdout) == (0, "--json -- -x b\n")


def test_the_lock_of_a_command_is_renewed(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with holding(env, "a", "--ttl", "2", command=("sh", "-c", "echo begun; sleep 5; exit 5")) as running:
        assert running.line() == "begun\n"
        (first,) = agent.locks()
        while time.time() <= first.expires_at:
            time.sleep(0.1)
        (later,) = agent.locks()
        assert later.token == first.token
        assert later.expires_at > first.expires_at
        assert running.end() == (5, "")


def test_a_pattern_locks_all_that_it_matches_and_shared_ones_go_together(
    env: dict[str, str], process: Shell, agent: waggle.sync.Hub
) -> None:
    with holding(env, "src/*", "--pattern", "--shared") as running:
        assert running.line() == "begun\n"
        assert process("lock", "src/b", "--", "true").returncode == 1
        assert process("lock", "src/b", "--shared", "--", "true").returncode == 0
        assert process("lock", "doc/b", "--", "true").returncode == 0


# --- not granted, and waiting ------------------------------------------------------------------------------------


def test_a_lock_that_is_not_granted_exits_with_1_and_names_its_holder(process: Shell, agent: waggle.sync.Hub) -> None:
    with agent.lock("a"):
        refused = process("lock", "a", "--", "echo", "not run")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"a is locked: {agent.agent} holds it since " in refused.stderr
        assert ", until " in refused.stderr
        late = process("lock", "a", "--wait", "0.2", "--json", "--", "echo", "not run")
        assert late.returncode == 1
        error = json.loads(late.stdout)["error"]
        assert (error["code"], error["holders"][0]["agent"]) == ("timeout", agent.agent)


def test_lock_waits_its_turn_and_names_the_holder(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with agent.lock("a"):
        running = holding(env, "a", "--wait", "forever", "--agent", "me", command=("echo", "mine"))
        assert (
            f"me waits for a in namespace {env['WAGGLE_NS']} since 0s: {agent.agent} holds it until"
            in running.said.readline()
        )
    with running:
        assert running.line() == "mine\n"
        assert running.end() == (0, "")


def test_a_wait_that_is_given_up_leaves_the_queue(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with agent.lock("a"), holding(env, "a", "--wait", "60") as running:
        running.said.readline()
        running.process.send_signal(signal.SIGINT)
        assert running.end() == (-signal.SIGINT, "")
        (held,) = agent.locks()
        assert held.queue == []


# --- the token ---------------------------------------------------------------------------------------------------


def test_within_it_the_commands_that_write_are_guarded_by_its_token(
    shell: Shell, process: Shell, agent: waggle.sync.Hub
) -> None:
    script = f"""
        {WAGGLE} set a 1 && {WAGGLE} update a --incr 1 && {WAGGLE} touch a --ttl 60 &&
        {WAGGLE} txn '{{"then": [{{"op": "update", "key": "a", "incr": 1}}, {{"op": "publish", "channel": "c", "data": 1}}]}}' &&
        {WAGGLE} get a && {WAGGLE} delete a && echo $WAGGLE_LOCK_TOKEN
    """  # noqa: E501
    done = process("lock", "a", "--", "sh", "-ec", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n3\n" in done.stdout
    token = done.stdout.splitlines()[-1]
    for command in (("set", "x", "1"), ("update", "x", "--incr", "1"), ("touch", "x", "--forever"), ("delete", "x")):
        refused = shell(*command, "--guard", token)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "is held now" in refused.stderr
    assert json.loads(shell("set", "x", "1", "--json", WAGGLE_LOCK_TOKEN=token).stdout)["error"]["code"] == "not_holder"
    refused = shell("txn", '{"then": [{"op": "set", "key": "x", "value": 1}]}', "--guard", token)
    assert (refused.returncode, "step 0" in refused.stderr) == (1, True)


def test_a_key_under_another_agents_lock_cannot_be_written(shell: Shell, agent: waggle.sync.Hub) -> None:
    with agent.lock("a") as lock:
        refused = shell("set", "a", "1")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert agent.agent in refused.stderr
        assert shell("set", "a", "1", "--guard", str(lock.token)).returncode == 0


def test_the_command_finds_the_same_hub_and_namespace(
    process: Shell, env: dict[str, str], agent: waggle.sync.Hub
) -> None:
    options = ("--url", env["WAGGLE_URL"], "--ns", env["WAGGLE_NS"], "--agent", "me")
    elsewhere = {"WAGGLE_URL": "http://127.0.0.1:1", "WAGGLE_NS": "elsewhere"}
    done = process("lock", "a", *options, "--", WAGGLE, "set", "a", "1", **elsewhere)
    assert done.returncode == 0, done.stderr
    entry = agent.get("a")
    assert entry is not None
    assert entry.by == "me"


# --- lost --------------------------------------------------------------------------------------------------------


def test_when_it_is_lost_the_command_and_all_it_has_started_is_ended(
    env: dict[str, str], shell: Shell, agent: waggle.sync.Hub
) -> None:
    script = "trap 'echo told; exit 0' TERM; sleep 60 & echo $!; wait"
    with holding(env, "a", command=("sh", "-c", script)) as running:
        child = int(running.line())
        freed = shell("unlock", "a", "--force", "--reason", "the build is stuck", "--agent", "boss")
        assert (freed.returncode, freed.stdout) == (0, "a: free\n")
        assert running.line() == "told\n"
        code, said = running.end()
    assert code == 2
    assert "boss" in said
    assert "the build is stuck" in said
    assert gone(child)


def test_when_it_is_lost_the_command_may_go_on_if_that_is_wanted(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with holding(env, "a", "--on-loss", "warn", command=("sh", "-c", "echo begun; read line; exit 5")) as running:
        assert running.line() == "begun\n"
        agent.unlock("a", force="for a test")
        assert "goes on without it" in running.said.readline()
        assert running.process.poll() is None


def test_when_the_hub_has_forgotten_it_the_command_is_ended() -> None:
    with Restarting() as hub, holding(hub.env, "a") as running:
        assert running.line() == "begun\n"
        hub.stop()
        assert "away" in running.said.readline()
        hub.start()
        code, said = running.end()
    assert code == -signal.SIGTERM
    assert "session was lost" in said


# --- signals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_to_the_command_and_ends_this_when_it_ends(
    env: dict[str, str], agent: waggle.sync.Hub, number: signal.Signals
) -> None:
    with holding(env, "a") as running:
        assert running.line() == "begun\n"
        running.process.send_signal(number)
        assert running.end() == (-number, "")
    assert agent.locks() == []


def test_a_command_that_goes_on_after_a_signal_keeps_the_lock(
    env: dict[str, str], agent: waggle.sync.Hub, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    script = f"trap 'echo heard' HUP; echo begun; while [ ! -e {end} ]; do sleep 0.05; done; exit 3"
    with holding(env, "a", command=("sh", "-c", script)) as running:
        assert running.line() == "begun\n"
        running.process.send_signal(signal.SIGHUP)
        assert running.line() == "heard\n"
        assert len(agent.locks()) == 1
        end.touch()
        assert running.end()[0] == 3


def test_killed_without_a_chance_the_command_is_told_to_end(env: dict[str, str]) -> None:
    with holding(env, "a", command=("sh", "-c", "echo $$; exec sleep 60")) as running:
        child = int(running.line())
        running.process.kill()
        assert gone(child)


def test_in_a_terminal_the_command_has_the_keyboard(env: dict[str, str]) -> None:
    with Terminal(env, "lock", "a", "--", "sh", "-c", 'read line; echo "read: $line"; exec cat') as terminal:
        terminal.type("hello\n")
        terminal.until("read: hello")
        terminal.type("meow\n")
        terminal.until("meow\r\nmeow")  # a shell that is about to start a program loses a Ctrl-C at times
        terminal.type("\x03")
        assert terminal.end()[0] == -signal.SIGINT


def test_ctrl_z_stops_all_of_it_and_continued_it_goes_on(env: dict[str, str]) -> None:
    """In a shell with jobs, as a person has it."""
    script = f"{WAGGLE} lock a -- sh -c 'printf %s-%s it begun; read line; echo \"read: $line\"'"
    with Terminal({**env, "PS1": "$ "}, program=("bash", "--norc", "-i")) as terminal:
        terminal.type(f"{script}\n")
        terminal.until("it-begun")
        terminal.type("\x1a")
        terminal.until("Stopped")
        terminal.type("fg\nhello\n")
        terminal.until("read: hello")
        terminal.type("exit 0\n")
        assert terminal.end()[0] == 0


def test_ctrl_c_ends_the_script_that_it_is_part_of(env: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"{WAGGLE} lock a -- cat\necho not reached\n")
    with Terminal(env, program=("bash", str(script))) as terminal:
        terminal.type("meow\n")
        terminal.until("meow\r\nmeow")
        terminal.type("\x03")
        code, written = terminal.end()
    assert code == -signal.SIGINT
    assert "not reached" not in written


# --- the list, and force -----------------------------------------------------------------------------------------


def test_locks_lists_holders_and_waiters(env: dict[str, str], shell: Shell, agent: waggle.sync.Hub) -> None:
    with agent.lock("a") as lock, agent.lock(pattern="src/*", shared=True), holding(env, "a", "--wait", "60") as waiter:
        waiter.said.readline()
        rows = [line.split("\t") for line in shell("locks").stdout.splitlines()]
        assert [row[:3] for row in rows] == [
            ["a", "exclusive", agent.agent], ["all of src/*", "shared", agent.agent],
        ]  # fmt: skip
        assert rows[0][5].startswith("agent-")
        one = json.loads(shell("locks", "a", "--json").stdout)
        assert (one["token"], len(one["queue"])) == (lock.token, 1)
        everywhere = [line.split("\t")[:2] for line in shell("locks", "--ns", "*").stdout.splitlines()]
        assert [env["WAGGLE_NS"], "a"] in everywhere
    assert shell("locks", "no such lock").stdout == ""


def test_unlock_needs_force_and_a_reason_and_a_holder(shell: Shell) -> None:
    assert shell("unlock", "a").returncode == 2
    absent = shell("unlock", "a", "--force", "--reason", "b")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert "no lock on 'a' is held" in absent.stderr


def test_names_that_are_locked_are_completed(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with agent.lock("src:a"), agent.lock("src:b"):
        asked = {"_WAGGLE_COMPLETE": "complete_bash", "COMP_WORDS": "waggle\nunlock\nsrc\n:\n", "COMP_CWORD": "4"}
        done = subprocess.run([WAGGLE], env={**env, **asked}, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["a", "b"]

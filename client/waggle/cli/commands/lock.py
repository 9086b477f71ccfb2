"""The commands about locks: lock, locks, unlock."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Annotated, NamedTuple

import msgspec
import typer

from waggle import BadRequest, Hub, Lock, Locked, TimedOut, WaggleError
from waggle.cli.output.explain import Reasons, explain_refusal, join_words, lock_subject
from waggle.cli.output.format import duration, time_left, to_json, visible
from waggle.cli.output.tables import Rows
from waggle.cli.process.child import check_runnable, run_program
from waggle.cli.process.run_while_held import lock_environment, run_while_held
from waggle.cli.process.stay_connected import HubStatus
from waggle.cli.shared import completion
from waggle.cli.shared.connect import exit_refused, notify, run_with_hub
from waggle.cli.shared.options import OnLoss, Options, get_program, parse_time, parse_timeout, shared
from waggle.wire.file_locks import Place, lock_name, lock_pattern
from waggle.wire.messages import HeldLock, Holder

__all__ = ["lock", "lock_row", "locks", "unlock"]

EXPLAIN_AFTER_S = 0.5
"""Wait before the explanation is printed: most locks are granted by then."""


class LockRequest(NamedTuple):
    """The lock that the person asks for."""

    names: list[str]
    pattern: bool
    ns: str | None
    shared: bool
    ttl: float

    def open(self, hub: Hub, wait: float | None) -> Lock:
        """Return the client's lock for this request, not acquired yet."""
        names, patterns = ([], self.names) if self.pattern else (self.names, None)
        return hub.lock(*names, pattern=patterns, ns=self.ns, shared=self.shared, ttl=self.ttl, wait=wait)

    def __str__(self) -> str:
        return ("all of " if self.pattern else "") + join_words([visible(name) for name in self.names])


@shared
def lock(
    options: Options,
    ctx: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", show_default=False, help="All of them are locked, or none.")
    ],
    pattern: Annotated[bool, typer.Option("--pattern", help="NAME is a pattern: lock all names that match.")] = False,
    together: Annotated[
        bool, typer.Option("--shared", help="Others may hold it at the same time with --shared.")
    ] = False,
    wait: Annotated[
        str, typer.Option("--wait", metavar="TIME", help="Wait for it this time, or forever; else not at all.")
    ] = "0",
    ttl: Annotated[
        float,
        typer.Option(
            "--ttl", parser=parse_time, metavar="TIME", help="It ends after this time if it cannot be renewed."
        ),
    ] = 30.0,
    on_loss: Annotated[
        OnLoss, typer.Option("--on-loss", help="End CMD if the lock is lost, or only tell you.")
    ] = OnLoss.kill,
) -> None:
    """Hold a lock while CMD runs. The exit code is that of CMD; or 1, if the lock was not granted.

    The lock is renewed while CMD runs, and released when CMD has ended. CMD has the lock's token in
    WAGGLE_LOCK_TOKEN: with it, waggle set, update, touch, delete and txn write only while the lock is held. Signals
    go to CMD.
    """
    command = get_program(ctx, "waggle lock src/a.py -- make test")
    wait_s = parse_timeout(wait, "--wait")
    request = LockRequest(in_repository(names, pattern), pattern, options.ns, together, ttl)
    check_runnable(command)
    code = 0

    async def work(hub: Hub) -> None:
        nonlocal code
        explaining = asyncio.ensure_future(_explain_wait(hub))

        async def run(held: Lock, stop: asyncio.Event) -> int:
            explaining.cancel()
            return await run_program(command, lock_environment(options, hub, held.token), stop)

        try:
            code = await run_while_held(request.open(hub, wait_s), run, on_loss)
        except (Locked, TimedOut) as refusal:
            if refusal.details.get("unanswered"):
                raise
            exit_refused(options, refusal, await _describe_refusal(hub, request, refusal))
        finally:
            explaining.cancel()

    run_with_hub(options, work, on_state=HubStatus())
    raise typer.Exit(code)


def in_repository(names: list[str], pattern: bool) -> list[str]:
    """Return the names in the form that all agents use (`waggle.wire.file_locks`). Raises typer.BadParameter."""
    place = Place.current()
    try:
        return [lock_pattern(name, place) if pattern else lock_name(name, place) for name in names]
    except BadRequest as error:
        raise typer.BadParameter(error.message) from None


async def _explain_wait(hub: Hub) -> None:
    """Tell the person what this session waits for, and for which agent, if it still waits after a moment."""
    await asyncio.sleep(EXPLAIN_AFTER_S)
    with suppress(WaggleError):
        inspection = await hub.inspect()
        for wait in inspection.waits:
            if wait.session == hub.session:
                notify(Reasons(inspection).sentence(wait))


async def _describe_refusal(hub: Hub, request: LockRequest, refusal: WaggleError) -> str:
    holders = msgspec.convert(refusal.details["holders"], list[Holder])
    now = (await hub.ping()).at
    why = explain_refusal(f"{request}", holders, refusal.details["queued"], now)
    return f"{request} is locked: {why}" if why else f"{request} is locked"


# --- those that there are ----------------------------------------------------------------------------------------


@shared
def locks(
    options: Options,
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="PATTERN", help="Only locks on names that match. Quote it.", autocompletion=completion.locks
        ),
    ] = None,
) -> None:
    """List the held locks: holder, for how long, time left, and the agents that wait for them, in their order.

    A lock on a pattern is shown as "all of" it. --ns "*" lists every namespace. --json has the tokens.
    """
    everywhere = options.ns == "*"

    async def work(hub: Hub) -> None:
        held = await hub.locks(pattern, ns=options.ns)
        if options.json:
            sys.stdout.writelines(f"{to_json(held_lock)}\n" for held_lock in held)
            return
        now = (await hub.ping()).at
        heading = ("LOCK", "MODE", "HELD BY", "FOR", "LEFT", "WAITING")
        rows = Rows(("NS", *heading) if everywhere else heading, wide=6 if everywhere else 5)
        rows.print([lock_row(held_lock, now, with_ns=everywhere) for held_lock in held])

    run_with_hub(options, work)


def lock_row(lock: HeldLock, now: float, *, with_ns: bool = False) -> list[str]:
    """Return a lock as the columns of `waggle locks`."""
    return [
        *([visible(lock.ns)] if with_ns else []),
        lock_subject(lock),
        lock.mode,
        visible(lock.agent),
        duration(max(0.0, now - lock.since)),
        time_left(lock.expires_at, now),
        ", ".join(visible(waiter.agent) for waiter in lock.queue),
    ]


@shared
def unlock(
    options: Options,
    name: Annotated[
        str, typer.Argument(metavar="NAME", show_default=False, autocompletion=completion.locks, help="Or a pattern.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Release the lock of any holder.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="The reason, for its holder.")] = None,
) -> None:
    """Release every lock on exactly this NAME, or on a pattern of this text, of any holder. Exit code 1 if there is
    none.

    The holder is told which agent released it, and why. Your own lock ends with the command that holds it.
    """
    if not (force and reason):
        raise typer.BadParameter(
            "your own lock ends with its command; to release another agent's, say --force and --reason TEXT."
        )
    (name,) = in_repository([name], pattern=True)

    async def work(hub: Hub) -> None:
        await hub.unlock(name, ns=options.ns, force=reason)
        print(to_json({"unlocked": name}) if options.json else f"{visible(name)}: free")

    run_with_hub(options, work)

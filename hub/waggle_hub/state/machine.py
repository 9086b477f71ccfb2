"""The machine: takes a command, a session and an instant; returns effects (replies, commits, orders to delivery).

Rules:
1. Due timers (the end of a session, of a lock, of a wait) are settled before every command. Due entries expire in
   slices (`expire`); until then they are absent for every reader, and a command that names one expires it first.
2. A command takes effect whole or not at all, and its reply carries the revision that it reflects.
3. A `rid` has its effect once in a session (G10): the outcomes `ok` and `conflict` are remembered and given again.
4. Opening, dropping and ending a session are commands like any other. So hubs that apply the same commands in the same
   order at the same times have the same state.

Every public method follows one pattern: begin a transaction (which settles due timers), apply a rule of `commands`,
then finish (commit, grant what became free) and return the effects.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import assert_never

from msgspec import structs

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Conflict, SessionLost, WaggleError
from waggle_hub.settings import Limits

from . import pending
from .commands import (
    cancel,
    clear,
    entries,
    http_sessions,
    inspect,
    locks,
    search,
    session_lifecycle,
    subscribe,
    take,
    txn,
)
from .commands import wait as waits
from .effects import DeferredReply, Effect, Reply, StartBackup
from .log import Commit
from .persistence import recovery
from .persistence.records import Record, StoredState, WriteBatch
from .sessions import Outcome, Session, SessionIds
from .state import State
from .transaction import Transaction
from .work.queue import Taker


class Machine:
    """The state of a hub and its rules. `rev` is the highest revision that was ever given, 0 for a new hub."""

    def __init__(self, limits: Limits, epoch: str, rev: int = 0) -> None:
        self.state = State(limits, epoch, rev)
        self._newest = Transaction(self.state, 0.0)
        """The last transaction: it tells whether a fault has left it half done."""
        self._load_effects: list[Effect] = []
        """Effects of loading, to be returned by `start`."""

    def hello(self, command: m.Hello, ids: SessionIds, now: float, info: m.Welcome) -> list[Effect]:
        """Open a session or take one over. `info` describes this hub; the rest of the reply is filled in here."""
        transaction = self._begin(now)
        try:
            session, resumed = session_lifecycle.hello(transaction, command, ids)
        except WaggleError as error:
            return self._reply(transaction, command, Outcome(error=error))
        welcome = m.Welcome(
            session=session.id,
            secret=session.secret,
            agent=session.agent,
            resumed=resumed,
            epoch=self.state.epoch,
            rev=transaction.rev,
            grace=self.state.limits.grace,
            hub=info.hub,
            features=info.features,
            durability=info.durability,
            limits=info.limits,
            subs={sub: sub for sub in session.subscriptions},
        )
        return self._reply(transaction, command, Outcome(ok=welcome))

    def apply(self, command: m.AnyCommand, session_id: str | None, now: float) -> list[Effect]:
        """Decide a command of a session. The reply is among the effects, unless the command has to wait."""
        transaction = self._begin(now)
        try:
            session = self._session(session_id)
            transaction.attribute_to(session)
            if session.connectionless:
                http_sessions.check_allowed(session, command)
            if isinstance(command, m.Change) and command.rid is not None and command.rid in session.by_rid:
                pending.check_rid(_op(command), command.rid, session.by_rid[command.rid].op)
                pending.merge_retry(transaction, session.by_rid[command.rid], command.id)
                return self._finish(transaction)
            pending.check_id(session, command.id)
            if isinstance(command, m.Change) and command.rid is not None:
                return self._apply_once(transaction, session, command, command.rid)
            return self._reply_unless_pending(transaction, command, self._decide(transaction, session, command))
        except WaggleError as error:
            return self._reply(transaction, command, Outcome(error=error))

    def open_http_session(
        self, agent: str | None, ns: str | None, ids: SessionIds, now: float
    ) -> tuple[str | WaggleError, list[Effect]]:
        """Return the id of the connectionless session of this agent (None: of anonymous calls), or why there is none.

        The session is opened if it does not exist. `ns` becomes its namespace.
        """
        transaction = self._begin(now)
        try:
            session: str | WaggleError = http_sessions.open_session(transaction, agent, ns, ids).id
        except WaggleError as error:
            session = error
        return session, self._finish(transaction)

    def drop_call(self, session_id: str, id: m.Id, rid: str | None, token: int | None, now: float) -> list[Effect]:
        """Cancel a call whose client has disconnected before the reply; `token` is that of a lock granted in it."""
        transaction = self._begin(now)
        session = self.state.sessions.get(session_id)
        if session is not None:
            http_sessions.drop_call(transaction, session, id, rid, token)
        return self._finish(transaction)

    def drop(self, session_id: str, now: float) -> list[Effect]:
        """Note that a session has lost its connection: its grace begins."""
        transaction = self._begin(now)
        session = self.state.sessions.get(session_id)
        if session is not None and session.connected:
            session_lifecycle.disconnect(transaction, session)
        return self._finish(transaction)

    def expire(self, now: float, most: int) -> list[Effect]:
        """Settle due timers and at most `most` due entries; `next_deadline` tells whether more are due."""
        transaction = self._begin(now)
        deadlines = self.state.keyspace.deadlines
        for _ in range(most):
            entry = deadlines.head()
            if entry is None or not entry.is_due(now):
                break
            transaction.expire(entry)
        return self._finish(transaction)

    def evict(self, places: list[tuple[str, str]], now: float) -> list[Effect]:
        """Remove these cached entries to make room. The caller chooses them: reads are not part of the state."""
        transaction = self._begin(now)
        entries.evict(transaction, places)
        return self._finish(transaction)

    def continue_scan(self, now: float) -> list[Effect]:
        """Go on with one more slice of what waits and takes have to look at; see `has_pending_scan`."""
        transaction = self._begin(now)
        waits.examine_next(transaction)
        wait = next(iter(self.state.condition_index.to_scan), None)
        taker = next(iter(self._scanning_takers), None)
        if wait is not None:
            waits.continue_scan(transaction, wait)
        if taker is not None:
            take.continue_scan(transaction, taker)
        return self._finish(transaction)

    # --- persistence ---

    def collect_changes(self, commits: list[Commit]) -> WriteBatch:
        """Collect what the journal must write: persisted entries of `commits`, and every record marked dirty."""
        return recovery.collect_changes(self.state, commits)

    def discard_changes(self) -> None:
        """Forget what was marked dirty: there is no journal."""
        self.state.dirty.discard()

    def load(self, kept: StoredState, now: float) -> None:
        """Load stored state into an empty machine. Call `start` next."""
        self._load_effects = recovery.load(self.state, kept, now)

    def set_durability(self, durability: str | None) -> None:
        """Mark in the hub's record that a hub of this durability runs on the data; None at an orderly stop."""
        hub = self.state.hub_record
        rev = self.state.log.rev if durability is None else hub.rev
        self.state.hub_record = structs.replace(hub, running=durability, rev=rev)
        self.state.dirty.put(self.state.hub_record)

    def start(self, now: float) -> list[Effect]:
        """Begin to serve after a load or a rollback. Returns what clients have to be told of it."""
        transaction = self._begin(now)
        transaction.effects[:0], self._load_effects = self._load_effects, []
        recovery.start(transaction)
        return self._finish(transaction)

    def roll_back(self, commits: list[Commit], records: list[Record], connected: Collection[str], now: float) -> None:
        """Undo the newest commits, and restore everything else from records. Call `start` next.

        `connected` are the ids of the sessions that have a connection now.
        """
        recovery.roll_back(self.state, commits, records, connected, now)
        self._newest = Transaction(self.state, now)

    def refuse(self, why: str) -> None:
        """Refuse commands that need the journal, and grant no locks, until `accept`. `why` is shown to clients."""
        self.state.refusing = why

    def accept(self, now: float) -> list[Effect]:
        """Accept every command again, and grant what became free meanwhile."""
        self.state.refusing = None
        return self._finish(self._begin(now))

    @property
    def out_of_revisions(self) -> bool:
        """Whether the journal fails and all revisions that it has reserved are used."""
        return self.state.refusing is not None and self.state.log.rev >= self.state.hub_record.rev

    def fail_pending(self, error: WaggleError, now: float) -> list[Effect]:
        """Reply to every pending command with this error."""
        transaction = self._begin(now)
        for session in self.state.sessions:
            cancel.fail_all(transaction, session, error)
        return self._finish(transaction)

    def unanswered_commands(self) -> set[tuple[str, m.Id]]:
        """Return session and command id of all commands that are pending or whose reply is queued."""
        sessions = self.state.sessions
        waiting = {(session.id, id) for session in sessions for id in session.pending}
        said = (unsaid.notice for session in sessions for unsaid in session.queued_notices)
        return waiting | {(answer.session, answer.id) for answer in said if isinstance(answer, DeferredReply)}

    @property
    def inconsistent(self) -> bool:
        """Whether an exception has left a change half made. The state must not be used any more."""
        return not self._newest.clean

    @property
    def has_pending_scan(self) -> bool:
        """Whether `continue_scan` has something to do."""
        index = self.state.condition_index
        return bool(index.to_scan or index.to_examine or self._scanning_takers)

    @property
    def _scanning_takers(self) -> Collection[Taker]:
        """Takers with more keys to scan; none while the journal fails, since nothing can be taken then."""
        return self.state.work_queues.scanning if self.state.refusing is None else ()

    def restart_cursor(self, session_id: str, sub: int, now: float) -> list[Effect]:
        """Restart a cursor with a snapshot: it has fallen out of the log's window."""
        transaction = self._begin(now)
        session = self.state.sessions.get(session_id)
        if session is not None and sub in session.subscriptions:
            subscribe.restart(transaction, session, sub)
        return self._finish(transaction)

    def mark_synced(self, session_id: str, sub: int, rev: int) -> None:
        """Note that the client has been sent the end of its snapshot at `rev`."""
        session = self.state.sessions.get(session_id)
        subscription = None if session is None else session.subscriptions.get(sub)
        if subscription is not None and subscription.start == rev:
            subscription.synced = True
            self.state.dirty.mark(subscription)

    def statistics(self, now: float) -> m.Statistics:
        """Return the sizes of the state. Not a command: due timers are not settled."""
        return inspect.statistics(Transaction(self.state, now))

    def next_deadline(self) -> float | None:
        """Return the instant at which `expire` next has something to do; None: never."""
        entry = self.state.keyspace.deadlines.head()
        timed = self.state.timers.head()
        if entry is None or entry.expires_at is None:
            return None if timed is None else timed.deadline
        if timed is None or timed.deadline is None:
            return entry.expires_at
        return min(entry.expires_at, timed.deadline)

    def _begin(self, now: float) -> Transaction:
        transaction = self._newest = Transaction(self.state, now)
        while (due := self.state.timers.next_due(now)) is not None:
            transaction.attribute_to_hub()
            if isinstance(due, Session):
                self._end(transaction, due)
            else:
                cancel.time_out(transaction, due)
            self._finish(transaction)
        transaction.attribute_to_hub()
        return transaction

    def _end(self, transaction: Transaction, session: Session) -> None:
        """End a session whose deadline has passed, unless it is connectionless and still holds something."""
        if session.connectionless and session.holds_anything:
            self.state.timers.set(session, None)
        else:
            session_lifecycle.end(transaction, session)

    def _session(self, session_id: str | None) -> Session:
        if session_id is None:
            raise BadRequest("say hello first", field="op")
        session = self.state.sessions.get(session_id)
        if session is None:
            raise SessionLost("the session has ended: say hello again")
        return session

    def _apply_once(self, transaction: Transaction, session: Session, command: m.AnyCommand, rid: str) -> list[Effect]:
        limit = self.state.limits.rid
        if not 1 <= len(rid) <= limit:
            raise BadRequest(f"rid is 1 to {limit} characters", field="rid")
        known = session.outcomes.get(rid)
        if known is not None:
            pending.check_rid(_op(command), rid, known.op)
            return self._reply(transaction, command, known.outcome, dup=True)
        try:
            ok = self._decide(transaction, session, command)
        except Conflict as error:
            pending.remember_outcome(transaction, session, rid, _op(command), Outcome(error=error))
            raise
        if ok is not None:
            pending.remember_outcome(transaction, session, rid, _op(command), Outcome(ok=ok))
        return self._reply_unless_pending(transaction, command, ok)

    def _reply_unless_pending(self, transaction: Transaction, command: m.Command, ok: m.Ok | None) -> list[Effect]:
        """Reply to a command, unless it is pending (None): then a `DeferredReply` follows later."""
        return self._finish(transaction) if ok is None else self._reply(transaction, command, Outcome(ok=ok))

    def _decide(self, transaction: Transaction, session: Session, command: m.AnyCommand) -> m.Ok | None:  # noqa: C901 - one line an op
        """Apply the rule of a command; return its result, or None if it is pending."""
        match command:
            case m.Set():
                return entries.set_(transaction, session, command)
            case m.Get():
                return entries.get(transaction, session, command)
            case m.Delete():
                return entries.delete(transaction, session, command)
            case m.Touch():
                return entries.touch(transaction, session, command)
            case m.Update():
                return entries.update(transaction, session, command)
            case m.Txn():
                return txn.txn(transaction, session, command)
            case m.History():
                return entries.history(transaction, session, command)
            case m.List():
                return entries.list_(transaction, session, command)
            case m.Search():
                search.search(transaction, session, command)
                return None
            case m.Clear():
                return clear.clear(transaction, session, command)
            case m.Publish():
                return subscribe.publish(transaction, session, command)
            case m.Subscribe():
                return subscribe.subscribe(transaction, session, command)
            case m.Unsubscribe():
                return subscribe.unsubscribe(transaction, session, command)
            case m.Status():
                return session_lifecycle.set_status(transaction, session, command)
            case m.Ping():
                return m.Pong(transaction.rev, transaction.at)
            case m.Namespaces():
                return entries.namespaces(transaction)
            case m.Stats():
                return inspect.statistics(transaction)
            case m.Backup():
                transaction.effects.append(StartBackup(session.id, command.id))
                return None
            case m.Lock():
                return locks.lock(transaction, session, command)
            case m.Unlock():
                return locks.unlock(transaction, session, command)
            case m.Renew():
                return locks.renew(transaction, session, command)
            case m.Locks():
                return locks.locks(transaction, session, command)
            case m.Cancel():
                return cancel.cancel(transaction, session, command)
            case m.Wait():
                return waits.wait(transaction, session, command)
            case m.Take():
                return take.take(transaction, session, command)
            case m.Inspect():
                return inspect.inspect(transaction)
            case m.Bye():
                session_lifecycle.end(transaction, session)
                return m.Empty()
            case m.Hello():
                raise BadRequest("this connection has said hello already", field="op")
            case _:
                assert_never(command)

    def _reply(self, transaction: Transaction, command: m.Command, outcome: Outcome, dup: bool = False) -> list[Effect]:
        assert outcome.error is None or transaction.clean, "a refused command must change nothing"
        transaction.commit()
        transaction.effects.append(Reply(command.id, outcome, dup))
        return self._finish(transaction)

    def _finish(self, transaction: Transaction) -> list[Effect]:
        transaction.commit()
        transaction.effects.extend(transaction.effects_after_reply)
        transaction.effects_after_reply.clear()
        while self.state.refusing is None and (self.state.lock_table.any_ready or self.state.work_queues.any_free):
            if not locks.grant_next(transaction):
                take.handle_next_offer(transaction)
        return transaction.effects

    def check(self) -> None:
        """Assert every invariant of the state. For tests."""
        state = self.state
        state.keyspace.check()
        state.log.check()
        state.sessions.check()
        granting = state.refusing is None
        state.lock_table.check(state.sessions, granting)
        state.condition_index.check(state.sessions, state.keyspace)
        state.work_queues.check(state.sessions, state.keyspace, state.lock_table, granting)
        state.timers.check([*state.sessions, *(timed for session in state.sessions for timed in session.timed_items())])
        state.interests.check()
        state.snapshots.check()
        owned = {(entry.ns, entry.key): entry.owner for entry in state.keyspace.ephemeral_entries()}
        assert owned == {place: session.id for session in state.sessions for place in session.ephemeral}
        for session in state.sessions:
            for sub, subscription in session.subscriptions.items():
                assert subscription.interest.sub == sub
                assert session.id in subscription.interest.sessions
            shown = state.keyspace.get(session_lifecycle.AGENTS, session.agent) is not None
            assert shown == (session.agent != session_lifecycle.ANONYMOUS)


def _op(command: m.Command) -> str:
    return str(command.__struct_config__.tag)

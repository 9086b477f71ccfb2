/**
 * The Waggle client for browsers: one ES module, without dependencies and without a build.
 *
 *     import { connect } from "./waggle.js";
 *
 *     const hub = connect({ agent: "page-1" });
 *     hub.subscribe({ patterns: ["task:*"], snapshot: true }, (line) => console.log(line.type, line.key));
 *     await hub.set("task:auth", { owner: "page-1" }, { ttl: 60 });
 *
 * After a lost connection the client connects again, with backoff and jitter. It takes its session over, with the
 * cursors of its subscriptions. If the session has ended, it opens a new one and asks for the events since then. The
 * handler of a subscription gets a line about it: `resumed` if nothing was missed, `reset` before a snapshot that
 * replaces what the handler had.
 *
 * Rules of a subscription:
 *
 * 1. The handler gets each event once, in the order of revisions, and all events of one revision together.
 * 2. The cursor moves by whole revisions only. If a connection is lost in the middle of a revision, all of it comes
 *    again.
 * 3. An event whose `after` is beyond the cursor shows a gap. The handler does not get it: the client asks for the gap
 *    instead.
 * 4. A snapshot is complete only at its `synced`. Before that the subscription has no cursor, and is left out of
 *    `cursors`.
 *
 * Rules of a command:
 *
 * 5. A command gets one result: the hub's reply, or an error. Without a connection it waits.
 * 6. A command that changes something carries a `rid`, so that sending it again has no second effect. If its session
 *    has ended before the reply came, the command is refused with `session_lost`: only the caller can decide whether to
 *    repeat it.
 *
 * Values are what `JSON.parse` returns, except integers that a number cannot represent: they come as a BigInt (in
 * browsers whose `JSON.parse` gives the source text to a reviver), and a BigInt may be sent.
 *
 * @module
 */

/**
 * The backoff before connecting again: the first, doubled after each failure up to the longest. Jitter takes up to half
 * of it.
 */
const FIRST_BACKOFF_S = 0.25;
const MAX_BACKOFF_S = 10;
/** The longest time from opening a connection to the reply to `hello`. */
const CONNECT_TIMEOUT_S = 10;
/** The client sends `ping` after this time without a line. (The hub sends one every 10 s on an idle connection.) */
const PING_AFTER_S = 12;
/** The connection counts as lost after this time without a line. */
const LOST_AFTER_S = 22;
const WATCH_PERIOD_MS = 2_000;
/** Commands without a reply at one time: the hub, too, allows 10,000. */
const MAX_PENDING = 10_000;
/** Measurements of the hub's clock that are kept. The one with the shortest round trip counts. */
const CLOCK_SAMPLES = 8;

/** Close codes after which connecting again would fail again (section 9 of the protocol). */
const FINAL_CODES = new Set([1000, 1002, 1007, 1009, 4002, 4400, 4401, 4403]);
const DRAINING = 4000;
/** Ops that carry a `rid` (rule 6). */
const CHANGES = new Set([
  "set", "delete", "touch", "update", "txn", "clear", "publish", "status", "lock", "unlock", "renew", "take",
]);

/**
 * @typedef {object} Line An event, as the hub sent it, or a line about the subscription itself:
 *   `reset` (a snapshot follows and replaces all earlier data; `reason` says why, null for the first snapshot),
 *   `synced` (the snapshot is complete), `resumed` (connected again, no event is lost; the events up to `rev`
 *   follow), `refused` (the hub refused the subscription with `error`).
 * @property {string} type
 * @property {number} [rev]
 * @property {string} [key]
 * @property {string} [ns]
 * @property {string} [by]
 * @property {number} [at] Unix seconds
 * @property {*} [value]
 *
 * @typedef {object} Interest
 * @property {string[]} patterns
 * @property {string} [ns] `"*"` is every namespace except the hub's own
 * @property {string[]} [types]
 * @property {boolean} [values]
 * @property {boolean} [prev]
 * @property {boolean} [snapshot]
 * @property {boolean} [echo]
 * @property {number} [conflate] seconds between two deliveries, each with only the latest event of each key
 *
 * @typedef {object} ConnectionState
 * @property {"connecting"|"open"|"waiting"|"closed"} name `waiting` is between two attempts
 * @property {number} attempt how many attempts have failed in a row
 * @property {number} [retryIn] seconds until the next attempt
 * @property {number} [code] the close code, or 0
 * @property {string} [reason]
 *
 * @typedef {object} Options
 * @property {string} [url] the hub's address, http(s) or ws(s); by default the origin of the page
 * @property {string} [agent] the agent's name; by default the hub makes one
 * @property {string} [ns] the default namespace
 * @property {string} [token]
 * @property {object} [meta] facts that other agents can read: role, model, ...
 * @property {(state: ConnectionState) => void} [onstate]
 * @property {(welcome: object, how: {first: boolean, takenOver: boolean}) => void} [onhello]
 * @property {typeof WebSocket} [WebSocket] for tests
 * @property {() => number} [clock] seconds, for tests
 * @property {() => number} [chance] from 0 to 1, for tests
 */

/** An error: a reply of the hub, or made by this client (`session_lost`, `disconnected`, `limit`). */
export class WaggleError extends Error {
  /** @param {{code: string, message?: string}} wire */
  constructor({ code, message, ...details }) {
    super(message ?? code);
    this.name = "WaggleError";
    this.code = code;
    this.details = details;
  }
}

/**
 * Return a hub that connects at once, and connects again after a lost connection.
 * @param {Options} [options]
 * @returns {Hub}
 */
export function connect(options = {}) {
  return new Hub(options);
}

/** A subscription of the session. `Hub.subscribe` creates it. */
export class Subscription {
  /** The hub's number of the subscription, null while it has none. @type {number|null} */
  sub = null;
  epoch = "";
  /** The last revision that the handler got. */
  cursor = 0;
  /** Whether the cursor is valid. It is not before the first reply, nor during a snapshot. */
  synced = false;
  closed = false;
  /** The events of a revision that is not complete yet. */
  #partialRev = [];
  #handler;
  #onClose;

  constructor(interest, handler, onClose) {
    this.interest = interest;
    this.#handler = handler;
    this.#onClose = onClose;
    /** Resolves with the hub's first reply, or rejects with its error. @type {Promise<Subscription>} */
    this.ready = new Promise((resolve, reject) => {
      this.resolveReady = resolve;
      this.rejectReady = reject;
    });
    this.ready.catch(() => {}); // the handler gets the error, too: an unused promise is no unhandled rejection
  }

  /** End the subscription. */
  close() {
    this.closed = true;
    this.#onClose(this);
  }

  /** Begin a snapshot, which replaces all earlier data. */
  beginSnapshot(reason) {
    this.synced = false;
    this.dropPartialRev();
    this.deliver({ type: "reset", reason: reason ?? null });
  }

  /** Set the cursor: it is valid from here on. */
  setCursor(epoch, cursor) {
    this.epoch = epoch;
    this.cursor = cursor;
    this.synced = true;
    this.dropPartialRev();
  }

  /** Drop the events of a revision that is not complete (rule 2). */
  dropPartialRev() {
    this.#partialRev = [];
  }

  /** Take a line of the hub. @returns {boolean} false if it shows a gap */
  onLine(line) {
    if (line.type === "synced") {
      this.setCursor(this.epoch, line.rev);
      this.deliver(line);
    } else if (line.type === "lost") {
      this.beginSnapshot(line.reason);
    } else if (line.snapshot) {
      this.deliver(line);
    } else if (line.type === "mark") {
      this.advance(line.rev);
    } else if (this.synced) {
      return this.#event(line);
    }
    return true;
  }

  /** Move the cursor to a revision: the hub has sent all events up to it. */
  advance(rev) {
    if (this.synced && rev > this.cursor) this.cursor = rev;
  }

  /** Call the handler. An error that it throws is reported and stops nothing else. */
  deliver(line) {
    try {
      this.#handler(line, this);
    } catch (error) {
      (globalThis.reportError ?? console.error)(error);
    }
  }

  #event(line) {
    if (line.rev <= this.cursor) return true;
    const known = this.#partialRev.length > 0 ? this.#partialRev[0].rev : this.cursor;
    if (line.after > known) return false;
    this.#partialRev.push(line);
    if (line.more) return true;
    const events = this.#partialRev;
    this.#partialRev = [];
    this.cursor = line.rev;
    for (const event of events) this.deliver(event);
    return true;
  }
}

/** A command that has no reply yet. */
class Pending {
  ids = [];
  constructor(op, fields, settle) {
    this.op = op;
    this.fields = fields;
    this.settle = settle;
  }

  get sent() {
    return this.ids.length > 0;
  }
}

export class Hub {
  /** The hub's reply to the last `hello`, null before the first. */
  welcome = null;
  /** @type {ConnectionState} */
  state = { name: "connecting", attempt: 0 };

  #options;
  #url;
  #socket = null;
  #ready = false;
  #failures = 0;
  #timer = null;
  #connectTimer = null;
  #watchTimer;
  /** When the last line came, by the client's clock. */
  #lastLineAt = 0;
  #pinged = false;
  #lastId = 0;
  /** The beginning of every `rid`, so that two pages never use the same one. */
  #ridPrefix;
  /** Commands without a reply, in the order they were made, and by each id under which they were sent. */
  #pending = new Set();
  #byId = new Map();
  #subscriptions = new Set();
  #bySub = new Map();
  #samples = [];

  /** @param {Options} options */
  constructor(options) {
    const clock = () => performance.now() / 1000;
    this.#options = { WebSocket: globalThis.WebSocket, clock, chance: Math.random, ...options };
    this.#url = socketUrl(options.url ?? new URL(".", globalThis.document.baseURI).href);
    this.#ridPrefix = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
    this.#watchTimer = setInterval(() => this.#checkSilence(), WATCH_PERIOD_MS);
    queueMicrotask(() => this.#open()); // later, so that the caller has the hub before the first call of `onstate`
  }

  // --- commands ---------------------------------------------------------------------------------------------------

  /**
   * Send a command.
   * @param {string} op
   * @param {object} [fields]
   * @returns {Promise<object>} the reply's `ok`; rejects with a WaggleError
   */
  command(op, fields = {}) {
    return new Promise((resolve, reject) => {
      if (this.state.name === "closed") {
        reject(new WaggleError({ code: "disconnected", message: "this hub was closed: connect again" }));
      } else if (this.#pending.size >= MAX_PENDING) {
        const message = `${MAX_PENDING} commands wait for a reply`;
        reject(new WaggleError({ code: "limit", message, limit: MAX_PENDING }));
      } else {
        const rid = CHANGES.has(op) && fields.rid === undefined ? { rid: `${this.#ridPrefix}-${++this.#lastId}` } : {};
        this.#send(new Pending(op, { ...fields, ...rid }, (error, ok) => (error ? reject(error) : resolve(ok))));
      }
    });
  }

  /** Write an entry; options: ns, ttl, keep_ttl, if_rev, kind, ephemeral, meta. Gives rev, version, expires_at. */
  set(key, value, options = {}) {
    return this.command("set", { key, value, ...options });
  }

  /** Return the entry, or null. */
  async get(key, options = {}) {
    return (await this.command("get", { key, ...options })).entry;
  }

  /** Delete an entry. Return whether there was one. */
  async delete(key, options = {}) {
    return (await this.command("delete", { key, ...options })).deleted;
  }

  /** Set the deadline of an entry, `ttl` seconds from now; null removes it. */
  touch(key, ttl, options = {}) {
    return this.command("touch", { key, ttl, ...options });
  }

  /** Return a page of entries in key order; options: ns, limit, after, values. Gives entries, next, rev. */
  list(pattern, options = {}) {
    return this.command("list", { pattern, ...options });
  }

  /** Send a message to the subscribers of a channel. The hub does not store it. */
  publish(channel, data, options = {}) {
    return this.command("publish", { channel, data, ...options });
  }

  /** Change a part of a value: `change` has one of merge, patch, incr, append; options: pointer, if_rev, ttl, ns. */
  update(key, change, options = {}) {
    return this.command("update", { key, ...change, ...options });
  }

  /** Return an entry and its earlier versions, newest first. Only entries of kind `versioned` keep earlier ones. */
  async history(key, options = {}) {
    return (await this.command("history", { key, ...options })).entries;
  }

  /** Return the number of keys and bytes of each namespace. */
  async namespaces() {
    return (await this.command("namespaces")).namespaces;
  }

  /** Return what the hub contains, and what it has done since it started. */
  stats() {
    return this.command("stats");
  }

  /** Set this agent's status in `$agents`. */
  status(status) {
    return this.command("status", { status });
  }

  // --- subscriptions ----------------------------------------------------------------------------------------------

  /**
   * Subscribe to events. The handler is called for each line, including `reset`, `synced` and `resumed`.
   * @param {Interest} interest
   * @param {(line: Line, subscription: Subscription) => void} handler
   * @returns {Subscription}
   */
  subscribe(interest, handler) {
    const id = interestId(interest);
    for (const other of this.#subscriptions) {
      // The hub would give both the same number, and the second would restart the first.
      if (interestId(other.interest) === id) throw new Error(`subscribed to this already: ${id}`);
    }
    const subscription = new Subscription(interest, handler, (closed) => this.#unsubscribe(closed));
    this.#subscriptions.add(subscription);
    if (this.#ready) this.#sendSubscribe(subscription);
    return subscription;
  }

  #sendSubscribe(subscription) {
    const { interest } = subscription;
    const resume = subscription.synced;
    const fields = { ...interest };
    if (resume) fields.since = { epoch: subscription.epoch, rev: subscription.cursor };
    this.#bySub.delete(subscription.sub);
    subscription.sub = null;
    subscription.dropPartialRev();
    const settle = (error, ok) => {
      if (subscription.closed) return;
      if (error) this.#onSubscribeError(subscription, error, resume);
      else this.#onSubscribed(subscription, ok, resume);
    };
    const pending = new Pending("subscribe", fields, settle);
    pending.subscription = subscription;
    this.#send(pending);
  }

  #onSubscribed(subscription, ok, resume) {
    subscription.sub = ok.sub;
    this.#bySub.set(ok.sub, subscription);
    if (resume && ok.resumed) {
      subscription.setCursor(ok.epoch, subscription.cursor);
      subscription.deliver({ type: "resumed", rev: ok.rev });
    } else {
      subscription.setCursor(ok.epoch, ok.rev);
      if (resume || subscription.interest.snapshot) subscription.beginSnapshot(ok.reason);
    }
    subscription.resolveReady(subscription);
  }

  #onSubscribeError(subscription, error, resume) {
    if (resume && error.details.field === "since") {
      // In the same epoch the hub is behind our cursor: it lost events that we have, so our data is not its past.
      subscription.synced = false;
      subscription.beginSnapshot("restart");
      if (!subscription.closed) this.#sendSubscribe(subscription);
      return;
    }
    if (error.code === "disconnected") return;
    this.#subscriptions.delete(subscription);
    subscription.closed = true;
    subscription.rejectReady(error);
    subscription.deliver({ type: "refused", error });
  }

  #unsubscribe(subscription) {
    if (!this.#subscriptions.delete(subscription)) return;
    if (subscription.sub === null) return;
    this.#bySub.delete(subscription.sub);
    if (this.state.name !== "closed") this.command("unsubscribe", { sub: subscription.sub }).catch(() => {});
  }

  // --- time -------------------------------------------------------------------------------------------------------

  /**
   * Measure the difference between the hub's clock and ours. The best of the last few measurements counts.
   * @returns {Promise<number>} the round trip of this measurement, in seconds
   */
  async syncClock() {
    const before = this.#options.clock();
    const { at } = await this.command("ping");
    const after = this.#options.clock();
    this.#samples.push({ trip: after - before, offset: at - (before + after) / 2 });
    if (this.#samples.length > CLOCK_SAMPLES) this.#samples.shift();
    return after - before;
  }

  /** Return the hub's time now, in Unix seconds. Before the first measurement it is our own time. */
  now() {
    if (this.#samples.length === 0) return Date.now() / 1000;
    const best = this.#samples.reduce((a, b) => (b.trip < a.trip ? b : a));
    return this.#options.clock() + best.offset;
  }

  // --- the connection ---------------------------------------------------------------------------------------------

  /** Connect now instead of after the backoff. */
  retry() {
    if (this.state.name === "waiting") this.#open();
  }

  /** End the session and the connection. The hub object cannot be used again. */
  close() {
    if (this.state.name === "closed") return;
    if (this.#ready) this.#write({ id: ++this.#lastId, op: "bye" });
    const socket = this.#detach();
    if (socket !== null) socket.close(1000);
    this.#end({ code: 1000, reason: "" });
  }

  #open() {
    if (this.state.name === "closed") return;
    clearTimeout(this.#timer);
    this.#setState({ name: "connecting", attempt: this.#failures });
    const socket = (this.#socket = new this.#options.WebSocket(this.#url, "waggle.v1"));
    socket.onopen = () => this.#sendHello();
    socket.onmessage = (message) => this.#onMessage(message.data);
    socket.onclose = (close) => this.#onLost(close.code, close.reason);
    this.#connectTimer = setTimeout(() => this.#onLost(0, "no answer"), CONNECT_TIMEOUT_S * 1000);
  }

  #sendHello() {
    const { agent, ns, token, meta } = this.#options;
    const fields = {};
    for (const [name, value] of Object.entries({ agent, ns, token, meta })) {
      if (value !== undefined) fields[name] = value;
    }
    const old = this.welcome;
    if (old !== null && !old.ended) {
      const cursors = {};
      for (const { sub, synced, cursor } of this.#subscriptions) if (sub !== null && synced) cursors[sub] = cursor;
      Object.assign(fields, { session: old.session, secret: old.secret, cursors });
    }
    const pending = new Pending("hello", fields, (error, ok) => {
      if (error) this.#onHelloError(error, fields.session !== undefined);
      else this.#onWelcome(ok);
    });
    this.#transmit(pending);
  }

  #onHelloError(error, takeover) {
    if (error.code === "disconnected") return;
    if (takeover && (error.code === "session_lost" || error.code === "bad_request")) {
      this.welcome.ended = true;
      this.#sendHello();
    } else if (error.code === "unauthorized" || error.code === "forbidden" || error.code === "bad_request") {
      const socket = this.#detach();
      socket?.close();
      this.#end({ code: 0, reason: error.message });
    } else {
      this.#onLost(0, error.message);
    }
  }

  #onWelcome(welcome) {
    clearTimeout(this.#connectTimer);
    const unanswered = [...this.#pending];
    const first = this.welcome === null;
    const takenOver = welcome.resumed === true;
    if (!takenOver) this.#samples = [];
    this.welcome = welcome;
    this.#ready = true;
    this.#failures = 0;
    this.#setState({ name: "open", attempt: 0 });
    this.#options.onhello?.(welcome, { first, takenOver });
    if (!takenOver) this.#refuseChanges();
    this.#bySub.clear();
    for (const subscription of [...this.#subscriptions]) this.#resume(subscription, takenOver ? welcome.subs : {});
    for (const pending of unanswered) if (this.#pending.has(pending)) this.#transmit(pending);
  }

  /** Continue a subscription in the session that the client has now. */
  #resume(subscription, subs) {
    const sub = subs[subscription.sub];
    if (subscription.sub === null || sub === undefined) {
      this.#sendSubscribe(subscription);
      return;
    }
    subscription.sub = sub;
    this.#bySub.set(sub, subscription);
    if (subscription.synced) subscription.deliver({ type: "resumed", rev: this.welcome.rev });
    else subscription.beginSnapshot(null);
  }

  /** Refuse changes whose reply was lost: the new session does not know their `rid` (rule 6). */
  #refuseChanges() {
    for (const pending of [...this.#pending]) {
      if (pending.sent && CHANGES.has(pending.op)) {
        const message = `the session ended before the reply to ${pending.op}: look whether it took effect`;
        this.#settle(pending, new WaggleError({ code: "session_lost", message }), null);
      }
    }
  }

  #onLost(code, reason) {
    this.#detach()?.close();
    if (FINAL_CODES.has(code)) {
      this.#end({ code, reason });
      return;
    }
    const pause = code === DRAINING ? Number.parseFloat(reason) || 0 : 0; // a hub that stops says when to come back
    const backoff = Math.min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** this.#failures);
    const retryIn = pause + backoff * (0.5 + 0.5 * this.#options.chance());
    this.#failures += 1;
    this.#setState({ name: "waiting", attempt: this.#failures, retryIn, code, reason });
    this.#timer = setTimeout(() => this.#open(), retryIn * 1000);
  }

  /** Give up the socket at once: closing it can take long. Return it, null if there is none. */
  #detach() {
    clearTimeout(this.#connectTimer);
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    this.#pinged = false;
    if (socket !== null) socket.onopen = socket.onmessage = socket.onclose = null;
    for (const subscription of this.#subscriptions) subscription.dropPartialRev();
    for (const pending of [...this.#pending]) {
      if (pending.subscription !== undefined || pending.op === "hello") this.#forget(pending);
    }
    return socket;
  }

  #end({ code, reason }) {
    clearTimeout(this.#timer);
    clearInterval(this.#watchTimer);
    this.#setState({ name: "closed", attempt: this.#failures, code, reason });
    const error = new WaggleError({ code: "disconnected", message: reason || "the connection was closed" });
    for (const pending of [...this.#pending]) this.#settle(pending, error, null);
  }

  #setState(state) {
    this.state = state;
    this.#options.onstate?.(state);
  }

  /** Find a dead connection: a socket may not report it, but even an idle hub sends a line every 10 s. */
  #checkSilence() {
    if (!this.#ready) return;
    const silence = this.#options.clock() - this.#lastLineAt;
    if (silence > LOST_AFTER_S) this.#onLost(0, "the hub is silent");
    else if (silence > PING_AFTER_S && !this.#pinged) {
      this.#pinged = true;
      this.command("ping").catch(() => {});
    }
  }

  // --- lines ------------------------------------------------------------------------------------------------------

  /** Send a command now, or as soon as there is a session. */
  #send(pending) {
    this.#pending.add(pending);
    if (this.#ready) this.#transmit(pending);
  }

  /** Each sending has an id of its own. The first reply to any of them counts. */
  #transmit(pending) {
    const id = ++this.#lastId;
    pending.ids.push(id);
    this.#pending.add(pending);
    this.#byId.set(id, pending);
    this.#write({ id, op: pending.op, ...pending.fields });
  }

  #write(line) {
    this.#socket.send(JSON.stringify(line, plainBigInt));
  }

  #onMessage(text) {
    this.#lastLineAt = this.#options.clock();
    this.#pinged = false;
    const socket = this.#socket;
    for (const piece of text.split("\n")) {
      if (piece === "" || socket !== this.#socket) continue;
      const line = parse(piece);
      if (line.ok !== undefined || line.error !== undefined) this.#onReply(line);
      else if (line.sub !== undefined) this.#onEvent(line);
      else if (line.type === "mark") for (const subscription of this.#bySub.values()) subscription.advance(line.rev);
    }
  }

  #onReply(line) {
    const pending = this.#byId.get(line.id);
    if (pending === undefined) return;
    const error = line.error === undefined ? null : new WaggleError(line.error);
    this.#settle(pending, error, line.ok);
  }

  #onEvent(line) {
    const subscription = this.#bySub.get(line.sub);
    if (subscription !== undefined && !subscription.onLine(line)) this.#sendSubscribe(subscription);
  }

  #settle(pending, error, ok) {
    this.#forget(pending);
    pending.settle(error, ok);
  }

  #forget(pending) {
    this.#pending.delete(pending);
    for (const id of pending.ids) this.#byId.delete(id);
  }
}

/** Enough digits for an integer above 2^53, outside of a fraction. Few lines match, so few need the slow parsing. */
const LARGE_INTEGER = /(?<![\d.])(?:\d{17}|9\d{15})/;

function parse(text) {
  return LARGE_INTEGER.test(text) ? JSON.parse(text, exactInteger) : JSON.parse(text);
}

/**
 * Parse JSON. Integers of any size keep all their digits.
 * @param {string} text
 * @param {(value: *) => void} [check] called with every part of the value; it may throw
 * @throws {SyntaxError}
 */
export function parseValue(text, check = () => {}) {
  return JSON.parse(text, (key, source, context) => {
    const value = exactInteger(key, source, context);
    check(value);
    return value;
  });
}

function exactInteger(_key, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value) || !Number.isInteger(value)) return value;
  return /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value;
}

function plainBigInt(_key, value) {
  return typeof value === "bigint" ? (JSON.rawJSON?.(String(value)) ?? Number(value)) : value;
}

/** Return the WebSocket address of a hub's http(s) or ws(s) address. */
function socketUrl(address) {
  const url = new URL(address);
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (!url.pathname.endsWith("/ws")) url.pathname = `${url.pathname.replace(/\/$/, "")}/ws`;
  url.search = url.hash = "";
  return url.href;
}

/** Return the same text for two interests if the hub treats them as the same. */
function interestId({ patterns, ns, types, values = true, prev = false, conflate }) {
  const set = (list) => (list === undefined ? null : [...new Set(list)].sort());
  return JSON.stringify([ns ?? null, set(patterns), set(types), values, prev, conflate ?? null]);
}

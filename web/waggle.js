/**
 * Waggle in the browser: the client as one ES module, of its own, without dependencies and without a build.
 *
 *     import { connect } from "./waggle.js";
 *
 *     const hub = connect({ agent: "page-1" });
 *     hub.subscribe({ patterns: ["task:*"], snapshot: true }, (line) => console.log(line.type, line.key));
 *     await hub.set("task:auth", { owner: "page-1" }, { ttl: 60 });
 *
 * What it does by itself: it connects again after a loss, with backoff and jitter; takes its session over with the
 * cursors it reached; and where the session is gone, opens a new one and asks for what came since. A subscription is
 * told the truth about it: `resumed` when nothing was missed, `reset` before a snapshot that replaces what it had.
 *
 * Laws of a subscription:
 *
 * 1. Its handler gets each event once, in the order of revisions, those of one revision together.
 * 2. The cursor moves by whole revisions only, so what a cut left half delivered comes again, and whole.
 * 3. An event whose `after` is beyond the cursor shows a gap. It is not handed on: the gap is asked for instead.
 * 4. Nothing of a snapshot counts before its `synced`: such a subscription is left out of `cursors`.
 *
 * Laws of a command:
 *
 * 5. It is answered once: by the hub's reply, or by an error. While there is no connection it waits.
 * 6. One that changes something carries a `rid`, so that asking again has its effect once. If its session is gone, a
 *    change whose reply was lost is refused with `session_lost`: only its author can tell whether to repeat it.
 *
 * Values are what `JSON.parse` makes of them, but for integers that a number cannot hold: they come as a BigInt (in
 * browsers that let a reviver see the source), and a BigInt may be sent.
 *
 * @module
 */

/** Seconds: the first wait before connecting again, doubled each time, up to the longest; then cut by jitter. */
const FIRST_WAIT = 0.25;
const LONGEST_WAIT = 10;
/** Seconds for a connection to come about, and for `hello` to be answered. */
const PATIENCE = 10;
/** Seconds of silence after which we ask whether the hub is there (it marks an idle connection every 10 s) ... */
const SILENCE = 12;
/** ... and after which the connection counts as lost. */
const DEAD = 22;
/** Commands that may be unanswered at one time: the hub itself allows 10,000 that wait. */
const MOST_PENDING = 10_000;
/** Samples of the hub's clock that are kept: the one with the shortest way there and back counts. */
const CLOCK_SAMPLES = 8;

/** Close codes after which connecting again is no use (protocol 9). */
const FINAL_CODES = new Set([1000, 1002, 1007, 1009, 4002, 4400, 4401, 4403]);
const DRAINING = 4000;
/** Ops that carry a `rid`: each takes effect once. */
const CHANGES = new Set([
  "set", "delete", "touch", "update", "txn", "clear", "publish", "status", "lock", "unlock", "renew", "take",
]);

/**
 * @typedef {object} Line An event, as the hub sent it, or one of those that speak of the subscription itself:
 *   `reset` (a snapshot follows, and replaces what was known; `reason` says why, null for the first),
 *   `synced` (the snapshot is complete), `resumed` (connected again, nothing was missed; what came up to `rev`
 *   follows), `refused` (the hub refuses the subscription: `error`).
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
 * @property {string} [ns] `"*"` is every namespace but the hub's own
 * @property {string[]} [types]
 * @property {boolean} [values]
 * @property {boolean} [prev]
 * @property {boolean} [snapshot]
 * @property {boolean} [echo]
 * @property {number} [conflate] seconds: one delivery in each such time, with the latest event of each key
 *
 * @typedef {object} ConnectionState
 * @property {"connecting"|"open"|"waiting"|"closed"} name `waiting` is between two attempts
 * @property {number} attempt how many attempts have failed in a row
 * @property {number} [retryIn] seconds until the next attempt
 * @property {number} [code] the close code, or 0
 * @property {string} [reason]
 *
 * @typedef {object} Options
 * @property {string} [url] the hub's address, http(s) or ws(s); by default where this page came from
 * @property {string} [agent] the name; by default one made by the hub
 * @property {string} [ns] the default namespace
 * @property {string} [token]
 * @property {object} [meta] what others can see: role, model, ...
 * @property {(state: ConnectionState) => void} [onstate]
 * @property {(welcome: object, how: {first: boolean, takenOver: boolean}) => void} [onhello]
 * @property {typeof WebSocket} [WebSocket] for tests
 * @property {() => number} [clock] seconds, for tests
 * @property {() => number} [chance] from 0 to 1, for tests
 */

/** An error reply of the hub, or of this client (`session_lost`, `disconnected`, `limit`). */
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
 * A connection to a hub that restores itself. It begins to connect by itself.
 * @param {Options} [options]
 * @returns {Hub}
 */
export function connect(options = {}) {
  return new Hub(options);
}

/** One session's interest in some events. Made by `Hub.subscribe`. */
export class Subscription {
  /** The hub's number for it, null while it has none. @type {number|null} */
  sub = null;
  epoch = "";
  /** The last revision that was handed on whole. */
  cursor = 0;
  /** Whether the cursor counts: not before the reply, nor during a snapshot. */
  synced = false;
  closed = false;
  #rev = [];
  #handler;
  #leave;

  constructor(interest, handler, leave) {
    this.interest = interest;
    this.#handler = handler;
    this.#leave = leave;
    /** Settled by the hub's first reply. @type {Promise<Subscription>} */
    this.ready = new Promise((resolve, reject) => {
      this.opened = resolve;
      this.refused = reject;
    });
    this.ready.catch(() => {}); // the handler is told as well
  }

  /** End it. */
  close() {
    this.closed = true;
    this.#leave(this);
  }

  /** A snapshot follows, which replaces what was known. */
  begin(reason) {
    this.synced = false;
    this.cut();
    this.tell({ type: "reset", reason: reason ?? null });
  }

  /** From here on the cursor counts. */
  goOn(epoch, cursor) {
    this.epoch = epoch;
    this.cursor = cursor;
    this.synced = true;
    this.cut();
  }

  /** The connection ended: forget the part of a revision that came. */
  cut() {
    this.#rev = [];
  }

  /** Take a line of the hub. @returns {boolean} false if it shows a gap */
  take(line) {
    if (line.type === "synced") {
      this.goOn(this.epoch, line.rev);
      this.tell(line);
    } else if (line.type === "lost") {
      this.begin(line.reason);
    } else if (line.snapshot) {
      this.tell(line);
    } else if (line.type === "mark") {
      this.reach(line.rev);
    } else if (this.synced) {
      return this.#event(line);
    }
    return true;
  }

  /** The hub says that there is nothing more up to this revision. */
  reach(rev) {
    if (this.synced && rev > this.cursor) this.cursor = rev;
  }

  /** Hand a line to the handler; what it throws is reported, and harms nothing else. */
  tell(line) {
    try {
      this.#handler(line, this);
    } catch (error) {
      (globalThis.reportError ?? console.error)(error);
    }
  }

  #event(line) {
    if (line.rev <= this.cursor) return true;
    const known = this.#rev.length > 0 ? this.#rev[0].rev : this.cursor;
    if (line.after > known) return false;
    this.#rev.push(line);
    if (line.more) return true;
    const whole = this.#rev;
    this.#rev = [];
    this.cursor = line.rev;
    for (const event of whole) this.tell(event);
    return true;
  }
}

/** A command that has no answer yet. */
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
  #patience = null;
  #watch;
  #heard = 0;
  #asked = false;
  #lastId = 0;
  #rids;
  /** Unanswered commands in the order they were made, and by each id they were sent under. */
  #pending = new Set();
  #byId = new Map();
  #subscriptions = new Set();
  #bySub = new Map();
  #samples = [];

  /** @param {Options} options */
  constructor(options) {
    this.#options = { WebSocket: globalThis.WebSocket, clock: () => performance.now() / 1000, chance: Math.random, ...options };
    this.#url = socketUrl(options.url ?? new URL(".", globalThis.document.baseURI).href);
    this.#rids = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
    this.#watch = setInterval(() => this.#watchSilence(), 2000);
    queueMicrotask(() => this.#open()); // so that the caller has the hub before it is told of it
  }

  // --- commands ---------------------------------------------------------------------------------------------------

  /**
   * Ask for anything the hub knows.
   * @param {string} op
   * @param {object} [fields]
   * @returns {Promise<object>} what stands under `ok`; rejects with a WaggleError
   */
  command(op, fields = {}) {
    return new Promise((resolve, reject) => {
      if (this.state.name === "closed") {
        reject(new WaggleError({ code: "disconnected", message: "this hub was closed: connect again" }));
      } else if (this.#pending.size >= MOST_PENDING) {
        reject(new WaggleError({ code: "limit", message: `${MOST_PENDING} commands wait for an answer`, limit: MOST_PENDING }));
      } else {
        const rid = CHANGES.has(op) && fields.rid === undefined ? { rid: `${this.#rids}-${++this.#lastId}` } : {};
        this.#ask(new Pending(op, { ...fields, ...rid }, (error, ok) => (error ? reject(error) : resolve(ok))));
      }
    });
  }

  /** Write an entry; options: ns, ttl, keep_ttl, if_rev, kind, ephemeral, meta. Gives rev, version, expires_at. */
  set(key, value, options = {}) {
    return this.command("set", { key, value, ...options });
  }

  /** The entry, or null. */
  async get(key, options = {}) {
    return (await this.command("get", { key, ...options })).entry;
  }

  /** Delete an entry; gives whether there was one. */
  async delete(key, options = {}) {
    return (await this.command("delete", { key, ...options })).deleted;
  }

  /** Give an entry a new deadline, `ttl` seconds from now; null takes it away. */
  touch(key, ttl, options = {}) {
    return this.command("touch", { key, ttl, ...options });
  }

  /** A page of entries in key order; options: ns, limit, after, values. Gives entries, next, rev. */
  list(pattern, options = {}) {
    return this.command("list", { pattern, ...options });
  }

  /** Send a message to those subscribed to the channel; it is not stored. */
  publish(channel, data, options = {}) {
    return this.command("publish", { channel, data, ...options });
  }

  /** Change a value where it is; `how` is one of merge, patch, incr, append; options: pointer, if_rev, ttl, ns. */
  update(key, how, options = {}) {
    return this.command("update", { key, ...how, ...options });
  }

  /** An entry and its earlier versions, newest first: those of kind `versioned` keep some. */
  async history(key, options = {}) {
    return (await this.command("history", { key, ...options })).entries;
  }

  /** How many keys and bytes each namespace has. */
  async namespaces() {
    return (await this.command("namespaces")).namespaces;
  }

  /** What the hub holds, and what it has done since it started. */
  stats() {
    return this.command("stats");
  }

  /** Set one's own status in `$agents`. */
  status(status) {
    return this.command("status", { status });
  }

  // --- subscriptions ----------------------------------------------------------------------------------------------

  /**
   * Be told of events. The handler is called for each line, also for those that say `reset`, `synced`, `resumed`.
   * @param {Interest} interest
   * @param {(line: Line, subscription: Subscription) => void} handler
   * @returns {Subscription}
   */
  subscribe(interest, handler) {
    const name = nameOf(interest);
    for (const other of this.#subscriptions) {
      // The hub gives both one number, and the second would restart the first.
      if (nameOf(other.interest) === name) throw new Error(`subscribed to this already: ${name}`);
    }
    const subscription = new Subscription(interest, handler, (it) => this.#leave(it));
    this.#subscriptions.add(subscription);
    if (this.#ready) this.#join(subscription);
    return subscription;
  }

  #join(subscription) {
    const { interest } = subscription;
    const resume = subscription.synced;
    const fields = { ...interest };
    if (resume) fields.since = { epoch: subscription.epoch, rev: subscription.cursor };
    this.#bySub.delete(subscription.sub);
    subscription.sub = null;
    subscription.cut();
    const settle = (error, ok) => {
      if (subscription.closed) return;
      if (error) this.#notJoined(subscription, error, resume);
      else this.#joined(subscription, ok, resume);
    };
    const pending = new Pending("subscribe", fields, settle);
    pending.subscription = subscription;
    this.#ask(pending);
  }

  #joined(subscription, ok, resume) {
    subscription.sub = ok.sub;
    this.#bySub.set(ok.sub, subscription);
    if (resume && ok.resumed) {
      subscription.goOn(ok.epoch, subscription.cursor);
      subscription.tell({ type: "resumed", rev: ok.rev });
    } else {
      subscription.goOn(ok.epoch, ok.rev);
      if (resume || subscription.interest.snapshot) subscription.begin(ok.reason);
    }
    subscription.opened(subscription);
  }

  #notJoined(subscription, error, resume) {
    if (resume && error.details.field === "since") {
      // The hub is behind what we have seen, in the same epoch: what we know is not its past.
      subscription.synced = false;
      subscription.begin("restart");
      if (!subscription.closed) this.#join(subscription);
      return;
    }
    if (error.code === "disconnected") return;
    this.#subscriptions.delete(subscription);
    subscription.closed = true;
    subscription.refused(error);
    subscription.tell({ type: "refused", error });
  }

  #leave(subscription) {
    if (!this.#subscriptions.delete(subscription)) return;
    if (subscription.sub === null) return;
    this.#bySub.delete(subscription.sub);
    if (this.state.name !== "closed") this.command("unsubscribe", { sub: subscription.sub }).catch(() => {});
  }

  // --- time -------------------------------------------------------------------------------------------------------

  /**
   * Measure how far the hub's clock is from ours; keeps the best of the last few.
   * @returns {Promise<number>} seconds there and back, this time
   */
  async syncClock() {
    const before = this.#options.clock();
    const { at } = await this.command("ping");
    const after = this.#options.clock();
    this.#samples.push({ trip: after - before, offset: at - (before + after) / 2 });
    if (this.#samples.length > CLOCK_SAMPLES) this.#samples.shift();
    return after - before;
  }

  /** What the hub's clock says now, in Unix seconds. Our own clock's word until it was measured. */
  now() {
    if (this.#samples.length === 0) return Date.now() / 1000;
    const best = this.#samples.reduce((a, b) => (b.trip < a.trip ? b : a));
    return this.#options.clock() + best.offset;
  }

  // --- the connection ---------------------------------------------------------------------------------------------

  /** Try again now instead of at the end of the wait. */
  retry() {
    if (this.state.name === "waiting") this.#open();
  }

  /** End the session and the connection, for good. */
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
    this.#become({ name: "connecting", attempt: this.#failures });
    const socket = (this.#socket = new this.#options.WebSocket(this.#url, "waggle.v1"));
    socket.onopen = () => this.#hello();
    socket.onmessage = (message) => this.#message(message.data);
    socket.onclose = (close) => this.#lost(close.code, close.reason);
    this.#patience = setTimeout(() => this.#lost(0, "no answer"), PATIENCE * 1000);
  }

  #hello() {
    const { agent, ns, token, meta } = this.#options;
    const fields = {};
    for (const [name, value] of Object.entries({ agent, ns, token, meta })) {
      if (value !== undefined) fields[name] = value;
    }
    const old = this.welcome;
    if (old !== null && !old.ended) {
      const cursors = {};
      for (const it of this.#subscriptions) if (it.sub !== null && it.synced) cursors[it.sub] = it.cursor;
      Object.assign(fields, { session: old.session, secret: old.secret, cursors });
    }
    const pending = new Pending("hello", fields, (error, ok) => {
      if (error) this.#notWelcome(error, fields.session !== undefined);
      else this.#welcomed(ok);
    });
    this.#transmit(pending);
  }

  #notWelcome(error, takeover) {
    if (error.code === "disconnected") return;
    if (takeover && (error.code === "session_lost" || error.code === "bad_request")) {
      this.welcome.ended = true;
      this.#hello();
    } else if (error.code === "unauthorized" || error.code === "forbidden" || error.code === "bad_request") {
      const socket = this.#detach();
      socket?.close();
      this.#end({ code: 0, reason: error.message });
    } else {
      this.#lost(0, error.message);
    }
  }

  #welcomed(welcome) {
    clearTimeout(this.#patience);
    const unanswered = [...this.#pending];
    const first = this.welcome === null;
    const takenOver = welcome.resumed === true;
    if (!takenOver) this.#samples = [];
    this.welcome = welcome;
    this.#ready = true;
    this.#failures = 0;
    this.#become({ name: "open", attempt: 0 });
    this.#options.onhello?.(welcome, { first, takenOver });
    if (!takenOver) this.#giveUpChanges();
    this.#bySub.clear();
    for (const subscription of [...this.#subscriptions]) this.#rejoin(subscription, takenOver ? welcome.subs : {});
    for (const pending of unanswered) if (this.#pending.has(pending)) this.#transmit(pending);
  }

  /** Go on with a subscription in the session we have now. */
  #rejoin(subscription, subs) {
    const sub = subs[subscription.sub];
    if (subscription.sub === null || sub === undefined) {
      this.#join(subscription);
      return;
    }
    subscription.sub = sub;
    this.#bySub.set(sub, subscription);
    if (subscription.synced) subscription.tell({ type: "resumed", rev: this.welcome.rev });
    else subscription.begin(null);
  }

  /** The session is gone, and with it the memory of what it did: see law 6. */
  #giveUpChanges() {
    for (const pending of [...this.#pending]) {
      if (pending.sent && CHANGES.has(pending.op)) {
        const message = `the session ended before the reply to ${pending.op}: look whether it took effect`;
        this.#answer(pending, new WaggleError({ code: "session_lost", message }), null);
      }
    }
  }

  #lost(code, reason) {
    this.#detach()?.close();
    if (FINAL_CODES.has(code)) {
      this.#end({ code, reason });
      return;
    }
    const asked = code === DRAINING ? Number.parseFloat(reason) || 0 : 0;
    const backoff = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures);
    const retryIn = asked + backoff * (0.5 + 0.5 * this.#options.chance());
    this.#failures += 1;
    this.#become({ name: "waiting", attempt: this.#failures, retryIn, code, reason });
    this.#timer = setTimeout(() => this.#open(), retryIn * 1000);
  }

  /** Have nothing more to do with the socket, however long its closing takes. */
  #detach() {
    clearTimeout(this.#patience);
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    this.#asked = false;
    if (socket !== null) socket.onopen = socket.onmessage = socket.onclose = null;
    for (const subscription of this.#subscriptions) subscription.cut();
    for (const pending of [...this.#pending]) {
      if (pending.subscription !== undefined || pending.op === "hello") this.#forget(pending);
    }
    return socket;
  }

  #end({ code, reason }) {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#become({ name: "closed", attempt: this.#failures, code, reason });
    const error = new WaggleError({ code: "disconnected", message: reason || "the connection was closed" });
    for (const pending of [...this.#pending]) this.#answer(pending, error, null);
  }

  #become(state) {
    this.state = state;
    this.#options.onstate?.(state);
  }

  /** A socket may be dead without saying so: an idle hub is heard from every 10 s. */
  #watchSilence() {
    if (!this.#ready) return;
    const silent = this.#options.clock() - this.#heard;
    if (silent > DEAD) this.#lost(0, "the hub is silent");
    else if (silent > SILENCE && !this.#asked) {
      this.#asked = true;
      this.command("ping").catch(() => {});
    }
  }

  // --- lines ------------------------------------------------------------------------------------------------------

  #ask(pending) {
    this.#pending.add(pending);
    if (this.#ready) this.#transmit(pending);
  }

  /** Each sending has an id of its own; whichever is answered first counts. */
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

  #message(text) {
    this.#heard = this.#options.clock();
    this.#asked = false;
    const socket = this.#socket;
    for (const piece of text.split("\n")) {
      if (piece === "" || socket !== this.#socket) continue;
      const line = parse(piece);
      if (line.ok !== undefined || line.error !== undefined) this.#reply(line);
      else if (line.sub !== undefined) this.#event(line);
      else if (line.type === "mark") for (const it of this.#bySub.values()) it.reach(line.rev);
    }
  }

  #reply(line) {
    const pending = this.#byId.get(line.id);
    if (pending === undefined) return;
    const error = line.error === undefined ? null : new WaggleError(line.error);
    this.#answer(pending, error, line.ok);
  }

  #event(line) {
    const subscription = this.#bySub.get(line.sub);
    if (subscription !== undefined && !subscription.take(line)) this.#join(subscription);
  }

  #answer(pending, error, ok) {
    this.#forget(pending);
    pending.settle(error, ok);
  }

  #forget(pending) {
    this.#pending.delete(pending);
    for (const id of pending.ids) this.#byId.delete(id);
  }
}

/** Digits enough for an integer above 2^53, and not of a fraction: few lines have them. */
const LARGE = /(?<![\d.])(?:\d{17}|9\d{15})/;

function parse(text) {
  return LARGE.test(text) ? JSON.parse(text, exactInteger) : JSON.parse(text);
}

/**
 * The value that a text of JSON stands for, integers of any size included.
 * @param {string} text
 * @param {(value: *) => void} [look] is shown every part of it, and may throw
 * @throws {SyntaxError}
 */
export function parseValue(text, look = () => {}) {
  return JSON.parse(text, (key, source, context) => {
    const value = exactInteger(key, source, context);
    look(value);
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

/** The address of the socket below an http(s) or ws(s) address. */
function socketUrl(address) {
  const url = new URL(address);
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (!url.pathname.endsWith("/ws")) url.pathname = `${url.pathname.replace(/\/$/, "")}/ws`;
  url.search = url.hash = "";
  return url.href;
}

/** What the hub goes by to tell whether two interests are the same. */
function nameOf({ patterns, ns, types, values = true, prev = false, conflate }) {
  const set = (list) => (list === undefined ? null : [...new Set(list)].sort());
  return JSON.stringify([ns ?? null, set(patterns), set(types), values, prev, conflate ?? null]);
}

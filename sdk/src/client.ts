import { DeadlineExceededError, InvalidArgumentError, UnauthenticatedError, UnavailableError, WalwireError, errorOf, type Code } from "./errors.js";
import { step, type Effect, type Happening, type State, type Way } from "./machine.js";
import { LiveQuery, safely, unhurried, type Sub } from "./livequery.js";
import { join, type DataFrame, type Event, type EventQuery, type Frame, type Gap, type Query, type Row, type Update } from "./protocol.js";
import { open, type Transport } from "./transport.js";

export type Token = string | (() => string | Promise<string>);

export interface Options {
  /** The server, as https://host or https://host/base/path. */
  readonly url: string;
  /** The token, or what gives one: asked at every connection, and before one expires. */
  readonly token: Token;
  /** The company, where the token is for several. */
  readonly company?: string;
}

export interface Connection {
  readonly status: "disconnected" | "connecting" | "connected";
  /** How, while connected. */
  readonly way?: Way;
  /** Why not. */
  readonly error?: WalwireError;
}

interface Wait {
  readonly lsn: string;
  readonly timer: ReturnType<typeof setTimeout>;
  resolve(): void;
  reject(error: WalwireError): void;
}

/** What may be otherwise the next time. */
const passing: readonly Code[] = ["unavailable", "resource-exhausted", "internal"];
const pingEvery = 25_000;
const pongWithin = 8_000;

const over = () => new WalwireError("cancelled", "the client was closed");

/** One connection, and everything that is subscribed to on it. */
export class Client {
  readonly #options: Options;
  readonly #url: string;
  #state: State = { name: "stopped" };
  #transport: Transport | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pulse: ReturnType<typeof setTimeout> | undefined;
  #after = 0;
  #problem: WalwireError | undefined;
  #connection: Connection = { status: "disconnected" };
  #watchers = new Set<() => void>();
  #synced = new Set<() => void>();
  #queries = new Map<string, LiveQuery>();
  #subs = new Map<number, Sub>();
  #waits = new Map<number, Wait>();
  #partial: Update[] = [];
  #reached = "";
  #position = "";
  #nextID = 1;
  #token = "";
  #closed = false;

  constructor(options: Options) {
    this.#options = options;
    this.#url = options.url.replace(/\/+$/, "");
    if (!/^https?:\/\//.test(this.#url)) {
      throw new InvalidArgumentError("invalid-argument", `url must begin with http:// or https://, got ${options.url}`);
    }
    if (typeof window !== "undefined") {
      window.addEventListener("online", this.#wake);
      document.addEventListener("visibilitychange", this.#wake);
    }
    this.#happen({ type: "start" });
  }

  /** Where the connection is. Another object whenever anything is another. */
  get connection(): Connection {
    return this.#connection;
  }

  /** The position of the WAL that all listeners have been told of; "" before there is one. */
  get position(): string {
    return this.#position;
  }

  /** Calls listener at every change of `connection`. */
  onConnection(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /** Calls listener whenever all listeners have been told of a commit. */
  onSync(listener: () => void): () => void {
    this.#synced.add(listener);
    return () => this.#synced.delete(listener);
  }

  /** A live query. The same one for the same query. */
  liveQuery<R extends object = Row>(query: Query): LiveQuery<R> {
    const name = JSON.stringify(query);
    let q = this.#queries.get(name);
    if (!q) {
      q = new LiveQuery(query, {
        start: (sub) => this.#add(sub),
        stop: (id) => this.#remove(id),
        id: () => this.#nextID++,
        forget: () => this.#queries.get(name) === q && this.#queries.delete(name),
      });
      this.#queries.set(name, q);
    }
    return q as unknown as LiveQuery<R>;
  }

  /** Calls listener for each event, in the order of commits, and for a gap where some may be missing. */
  events<R extends object = Row>(query: EventQuery, listener: (event: Event<R> | Gap) => void, onError?: (error: WalwireError) => void): () => void {
    let cursor = "";
    let pending: (Event | Gap)[] = [];
    const sub: Sub = {
      id: this.#nextID++,
      here: false,
      shown: false,
      request: () => ({ events: query, ...(cursor && { resume: { cursor } }) }),
      apply: (u) => pending.push(...(u.events ?? [])),
      at: (c) => (cursor = c),
      tell: () => {
        const told = pending;
        pending = [];
        told.forEach((e) => this.#subs.get(sub.id) === sub && safely(() => listener(e as Event<R> | Gap)));
      },
      failed: (error) => safely(() => onError?.(error)),
      ended: (error) => {
        sub.here = false;
        safely(() => onError?.(error));
      },
      lost: () => {
        sub.here = false;
      },
    };
    this.#add(sub);
    return () => this.#remove(sub.id);
  }

  /** Resolves when everything up to a position of the WAL has been shown: what the backend gave for a write. */
  wait(lsn: string, timeoutMs = 5000): Promise<void> {
    const refused = this.#refused();
    if (refused) {
      return Promise.reject(refused);
    }
    return new Promise((resolve, reject) => {
      const id = this.#nextID++;
      const end = (f: () => void) => () => {
        clearTimeout(wait.timer);
        this.#waits.delete(id);
        f();
      };
      const late = new DeadlineExceededError("deadline-exceeded", `${lsn} has not been reached within ${timeoutMs} ms`);
      const wait: Wait = {
        lsn,
        timer: setTimeout(() => wait.reject(late), timeoutMs),
        resolve: end(resolve),
        reject: (error) => end(() => reject(error))(),
      };
      this.#waits.set(id, wait);
      if (this.#state.name === "open") {
        this.#askFor(id, wait);
      }
    });
  }

  /** Connects again at once, where it does not already. */
  reconnect(): void {
    if (this.#closed) {
      return;
    }
    this.#happen({ type: this.#state.name === "stopped" ? "start" : "wake" });
  }

  /** Ends the connection and everything on it. */
  close(): void {
    if (typeof window !== "undefined") {
      window.removeEventListener("online", this.#wake);
      document.removeEventListener("visibilitychange", this.#wake);
    }
    this.#closed = true;
    this.#happen({ type: "stop" });
    const subs = [...this.#subs.values()];
    this.#subs.clear();
    subs.forEach((s) => s.failed(over()));
    [...this.#waits.values()].forEach((w) => w.reject(over()));
  }

  #wake = (): void => {
    if (typeof document === "undefined" || document.visibilityState === "visible") {
      this.#happen({ type: "wake" });
    }
  };

  #happen(happening: Happening): void {
    const before = this.#state;
    const [state, effects] = step(before, happening, Math.random);
    this.#state = state;
    if (before.name === "open" && state.name !== "open") {
      clearTimeout(this.#pulse);
      this.#partial = [];
    }
    effects.forEach((e) => this.#effect(e));
    const over = state.name === "stopped" && before.name !== "stopped" ? state.error : undefined;
    const subs = [...this.#subs.values()];
    if (over) {
      subs.forEach((s) => s.ended(over));
      [...this.#waits.values()].forEach((w) => w.reject(over));
    } else if (before.name === "open" && state.name !== "open" && happening.type !== "stop") {
      subs.forEach((s) => s.lost());
    }
    this.#announce();
  }

  #effect(e: Effect): void {
    switch (e.do) {
      case "ask":
        void this.#ask();
        return;
      case "open":
        this.#open();
        return;
      case "greet":
        this.#greet();
        return;
      case "probe":
        this.#ping();
        return;
      case "wait":
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#happen({ type: "timer" }), e.ms);
        return;
      case "cancel":
        clearTimeout(this.#timer);
        return;
      case "close":
        this.#transport?.close();
    }
  }

  async #ask(): Promise<void> {
    try {
      const { token } = this.#options;
      this.#token = typeof token === "string" ? token : await token();
      this.#happen({ type: "token" });
    } catch (e) {
      this.#happen({ type: "no-token", error: new UnauthenticatedError("unauthenticated", `no token: ${String(e)}`) });
    }
  }

  #open(): void {
    const way = this.#state.name === "opening" ? this.#state.way : "websocket";
    this.#problem = undefined;
    this.#after = 0;
    const t = open(way, this.#url, this.#token, this.#options.company, {
      frame: (f) => this.#transport === t && this.#frame(f),
      closed: (code, error, after = 0) => {
        if (this.#transport === t) {
          this.#ended(code, this.#problem ?? error, after);
        }
      },
    });
    this.#transport = t;
  }

  #ended(code: number, error: WalwireError = this.#lost(), after = 0): void {
    // A refused token may be another one the next time.
    const final = code >= 4500 && (code !== 4501 || typeof this.#options.token === "string");
    this.#happen({ type: "closed", error, final, refused: code !== 0, after: Math.max(after, this.#after) });
  }

  #lost(): WalwireError {
    const why = this.#state.name === "open" ? "the connection was lost" : `${this.#url} does not answer: is it up, and is this page's origin among its origins?`;
    return new UnavailableError("unavailable", why);
  }

  #greet(): void {
    this.#subs.forEach((s) => this.#subscribe(s));
    this.#waits.forEach((w, id) => this.#askFor(id, w));
    this.#beat();
  }

  #beat(): void {
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => this.#ping(), pingEvery);
  }

  /** Makes sure that somebody is there. */
  #ping(): void {
    this.#send({ type: "ping" });
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => {
      this.#transport?.close();
      this.#ended(0);
    }, pongWithin);
  }

  #send(frame: object): void {
    this.#transport?.send(frame);
  }

  #askFor(id: number, w: Wait): void {
    this.#send({ type: "wait", id, lsn: w.lsn });
  }

  /** Why nothing can be asked; undefined where it can, now or soon. */
  #refused(): WalwireError | undefined {
    return this.#closed ? over() : this.#state.name === "stopped" ? this.#state.error : undefined;
  }

  #add(s: Sub): void {
    const refused = this.#refused();
    if (this.#closed) {
      setTimeout(() => s.failed(over()), unhurried);
      return;
    }
    this.#subs.set(s.id, s);
    if (refused) {
      setTimeout(() => this.#subs.get(s.id) === s && this.#refused() && s.ended(refused), unhurried);
    }
    if (this.#state.name === "open") {
      this.#subscribe(s);
    }
  }

  #subscribe(s: Sub): void {
    s.here = false;
    this.#send({ type: "subscribe", id: s.id, ...s.request() });
  }

  #remove(id: number): void {
    if (this.#subs.delete(id) && this.#state.name === "open") {
      this.#send({ type: "unsubscribe", id });
      this.#tell(); // others may have waited for it
    }
  }

  #frame(f: Frame): void {
    if (this.#state.name === "open") {
      this.#beat();
    }
    switch (f.type) {
      case "welcome":
        this.#happen({ type: "welcome" });
        return;
      case "data":
        this.#data(f);
        return;
      case "error":
        this.#error(f);
        return;
      case "waited":
        this.#waits.get(f.id)?.resolve();
        return;
      case "reconnect":
        this.#after = f.after_ms;
        return;
      case "expiring":
        void this.#renew();
    }
  }

  async #renew(): Promise<void> {
    const { token } = this.#options;
    if (typeof token === "function") {
      const t = this.#transport;
      try {
        const next = await token();
        if (this.#transport === t) {
          this.#send({ type: "auth", token: next, company: this.#options.company });
        }
      } catch {
        // The connection ends with the token, and asks again then.
      }
    }
  }

  #error(f: Extract<Frame, { type: "error" }>): void {
    const error = errorOf(f.code, f.message);
    const w = f.wait !== undefined ? this.#waits.get(f.wait) : undefined;
    if (f.wait !== undefined) {
      if (w && f.code === "deadline-exceeded") {
        this.#askFor(f.wait, w); // its own timer ends it
      } else {
        w?.reject(error);
      }
    } else if (f.id !== undefined) {
      this.#failed(f.id, error, f.retry_ms ?? 0);
    } else {
      this.#problem = error;
      this.#after = Math.max(this.#after, f.retry_ms ?? 0);
    }
  }

  /** Ends a subscription, or asks for it again later where that may help. */
  #failed(id: number, error: WalwireError, after: number): void {
    const s = this.#subs.get(id);
    if (!s) {
      return;
    }
    if (passing.includes(error.code)) {
      const t = this.#transport;
      s.lost();
      s.shown = false; // the others need not wait for it
      this.#tell();
      setTimeout(
        () => {
          if (this.#transport === t && this.#state.name === "open" && this.#subs.get(id) === s) {
            this.#subscribe(s);
          }
        },
        Math.max(after, 500 + Math.random() * 2500),
      );
      return;
    }
    this.#subs.delete(id);
    s.failed(error);
    this.#tell();
  }

  /** Applies a commit to everything it concerns, then tells everybody: no listener sees half of one. */
  #data(f: DataFrame): void {
    this.#partial.push(...f.subscriptions);
    if (f.more) {
      return;
    }
    const parts = this.#partial;
    this.#partial = [];
    this.#reached = f.position;
    for (const u of join(parts)) {
      const s = this.#subs.get(u.id);
      if (s) {
        s.here = true;
        s.apply(u);
      }
    }
    if (f.cursor !== undefined) {
      const cursor = f.cursor;
      this.#subs.forEach((s) => s.here && s.at(cursor));
    }
    this.#tell();
  }

  #tell(): void {
    for (const s of this.#subs.values()) {
      if (s.shown && !s.here) {
        return; // others that come back are still where they were
      }
    }
    this.#position = this.#reached;
    [...this.#subs.values()].forEach((s) => s.tell());
    [...this.#synced].forEach(safely);
  }

  #announce(): void {
    const s = this.#state;
    const next: Connection =
      s.name === "open"
        ? { status: "connected", way: s.way }
        : { status: s.name === "stopped" ? "disconnected" : "connecting", ...(s.error && { error: s.error }) };
    const { status, way, error } = this.#connection;
    if (next.status !== status || next.way !== way || next.error !== error) {
      this.#connection = next;
      [...this.#watchers].forEach(safely);
    }
  }
}

/** Connects, and stays connected until it is closed. */
export function connect(options: Options): Client {
  return new Client(options);
}
